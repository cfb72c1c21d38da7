// SPDX-License-Identifier: GPL-2.0-only
/*
 * Saves and loads of one VF: what they cost, how long they take.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "function.h"
#include "stream.h"

#define TRACING	"/sys/kernel/debug/tracing"
#define EVENT	TRACING "/events/nvme/nvme_setup_cmd/enable"

static bool save(struct vf *v, struct stream *s, size_t room)
{
	ssize_t n = -1;
	int fd;

	s->size = 0;
	fd = vdev_mig_open(&v->dev, ST_STOP_COPY);
	if (!EXPECT(fd >= 0, "STOP_COPY: %s", strerror(-fd)))
		return false;
	while (s->size < room) {
		n = read(fd, s->data + s->size, room - s->size < STEP ? room - s->size : STEP);
		if (n <= 0)
			break;
		s->size += n;
	}
	close(fd);
	return EXPECT_EQ(n, 0, "end of the stream after %zu of %zu bytes", s->size, room);
}

/* Room for the stream of a VF */
static size_t stream_room(struct vf *v)
{
	u64 size = 0;

	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "data size");
	return size + STEP;
}

/* ---- the clock ---- */

/* When commands were answered, for a comparison with the device's clock */
void measure_clock(int pf_nr, unsigned int nr)
{
	struct lm_pf *pf = pf_get(pf_nr);
	u8 header[LM_HEADER];
	struct lm_cmd get;

	if (!pf)
		return;
	get = lm_get_cmd(lm_cntlid(pf, 1), pf->csvi, pf->csuuidi, 0, header, sizeof(header));
	while (nr-- && EXPECT_EQ(pf_do(pf, get), 0, "Get Controller State"))
		report("answered", now_ns());
}

/* ---- the number of commands ---- */

static bool trace_begin(void)
{
	close(open(TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
	return EXPECT_EQ(file_write(EVENT, "1"), 0, "trace");
}

/* Admin commands of the PF; lines say "nvme0: qid=0, ... cmd=(0x41 cdw10=00 ..." */
static void trace_end(struct lm_pf *pf, const char *step)
{
	enum { SUSPEND, RESUME, SET, GET, OTHER, NR };
	static const char *const names[NR] = { "suspend", "resume", "set", "get", "other" };
	static const char send[] = "cmd=(0x41 cdw10=";
	unsigned int counts[NR] = { 0 }, i;
	char line[1024], name[32], *at;
	FILE *f;

	file_write(EVENT, "0");
	f = fopen(TRACING "/trace", "r");
	if (!EXPECT(f, "trace"))
		return;
	snprintf(name, sizeof(name), " %s: qid=0", pf->node + 5);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, name))
			continue;
		at = strstr(line, send);
		i = at ? strtoul(at + strlen(send), NULL, 16) : OTHER;
		if (!at && strstr(line, "cmd=(0x42"))
			i = GET;
		counts[i < NR ? i : OTHER]++;
	}
	fclose(f);
	for (i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "%s_%s", step, names[i]);
		report(name, counts[i]);
	}
}

/* From RUNNING to END, and from the first write to RUNNING */
void measure_cost(int pf_nr, unsigned int queues)
{
	struct lm_pf *pf = pf_get(pf_nr);
	struct stream s;
	size_t room;
	int fd;

	if (!pf || !open_guest(&vf_a, pf_nr, 1, queues))
		return;
	room = stream_room(&vf_a);
	s.data = populated(room);
	if (!trace_begin() || !set_state(&vf_a, ST_STOP) || !save(&vf_a, &s, room))
		return;
	trace_end(pf, "save");

	if (!vf_find(&vf_b, pf_nr, 2) || !vf_attach(&vf_b))
		return;
	fd = vdev_mig_open(&vf_b.dev, ST_RESUMING);
	if (!EXPECT(fd >= 0, "load: %s", strerror(-fd)) || !trace_begin() ||
	    !EXPECT_EQ(stream_write(fd, &s, STEP), 0, "write"))
		return;
	close(fd);
	set_state(&vf_b, ST_STOP);
	set_state(&vf_b, ST_RUNNING);
	trace_end(pf, "load");
}

/* ---- their time ---- */

/* Save VF 1, and load that into VF 2, which was reset and never enabled */
void measure_move(int pf, unsigned int nr)
{
	struct stream s;
	size_t room;
	u64 start;
	int fd;

	if (!open_guest(&vf_a, pf, 1, 1) || !set_state(&vf_a, ST_STOP))
		return;
	room = stream_room(&vf_a);
	s.data = populated(room);
	start = now_ns();
	if (!save(&vf_a, &s, room))
		return;
	report("save_ns", now_ns() - start);
	report("bytes", s.size);

	if (!vf_find(&vf_b, pf, 2) || !vf_attach(&vf_b))
		return;
	fd = vdev_mig_open(&vf_b.dev, ST_RESUMING);
	if (!EXPECT(fd >= 0, "load: %s", strerror(-fd)))
		return;
	start = now_ns();
	EXPECT_EQ(stream_write(fd, &s, STEP), 0, "write");
	report("load_ns", now_ns() - start);
	close(fd);
}

/* ---- a picture of one ---- */

#define SMALL	(64u << 10)

/* When the first @nr reads began and ended, and until when the reader was busy with what it got */
void measure_reads(int pf, unsigned int nr)
{
	u64 *times = populated((size_t)nr * 3 * sizeof(*times));
	u8 *data = populated(SMALL);
	unsigned int i, done = 0;
	ssize_t n = 1;
	int fd;

	if (!open_guest(&vf_a, pf, 1, 1) || !set_state(&vf_a, ST_STOP))
		return;
	fd = vdev_mig_open(&vf_a.dev, ST_STOP_COPY);
	if (!EXPECT(fd >= 0, "save: %s", strerror(-fd)))
		return;
	for (done = 0; done < nr && n > 0; done++) {
		times[3 * done] = now_ns();
		n = read(fd, data, SMALL);
		times[3 * done + 1] = now_ns();
		/* what a VMM does with it instead: send it */
		crc32c(0, data, n > 0 ? n : 0);
		times[3 * done + 2] = now_ns();
	}
	close(fd);
	EXPECT(n >= 0, "read: %s", strerror(errno));
	for (i = 0; i < done; i++)
		printf("read %llu %llu %llu\n", (unsigned long long)times[3 * i],
		       (unsigned long long)times[3 * i + 1], (unsigned long long)times[3 * i + 2]);
}
