// SPDX-License-Identifier: GPL-2.0-only
/*
 * nvme-lm-mirror: copy the namespaces of an NVMe virtual function to another host while its guest
 * writes to them, for a live migration.
 */

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller.h"
#include "receive.h"
#include "send.h"
#include "wire.h"

#define READY_DEFAULT		(64ULL << 20)
#define ROUNDS_DEFAULT		30
#define RECONNECT_DEFAULT	60
#define LAST_PHASE_DEFAULT	30
#define SECONDS_MAX		86400

/**
 * struct arguments - the command line
 * @send: it is "send"
 * @vf: --vf, or NULL
 * @c: --pf and --cntlid
 * @has_cntlid: the latter was given
 * @disks: --namespace, or what was found
 * @nr: how many
 * @tls_dir: --tls, or NULL
 * @so: of send
 * @ro: of receive
 * @dry: --dry-run
 */
struct arguments {
	bool send;
	const char *vf;
	struct controller c;
	bool has_cntlid;
	struct disk disks[WIRE_NAMESPACES_MAX];
	u32 nr;
	const char *tls_dir;
	struct send_options so;
	struct receive_options ro;
	bool dry;
};

static void print_help(FILE *out)
{
	fprintf(out,
		"usage: nvme-lm-mirror send --vf ADDRESS [OPTIONS] HOST:PORT\n"
		"       nvme-lm-mirror receive --vf ADDRESS [OPTIONS] [HOST]:PORT\n"
		"\n"
		"Copies the namespaces of an NVMe virtual function to another host while its guest\n"
		"writes to them.\n"
		"\n"
		"  --vf ADDRESS            PCI address of the function whose namespaces are copied\n"
		"  --pf ADDRESS            instead: the function that manages the controller\n"
		"  --cntlid NUMBER         and the controller\n"
		"  --namespace NSID[=PATH] only this namespace (and those of more such options)\n"
		"  --tls DIRECTORY         use TLS, with the certificates there\n"
		"  --reconnect SECONDS     wait so long for a connection that failed (%u)\n"
		"  --json                  events on the standard output, a JSON object a line\n"
		"  --help                  this text\n"
		"\n"
		"send:\n"
		"  --qmp PATH              lead the migration, by this socket of QEMU\n"
		"  --migrate URI           start it when ready\n"
		"  --ready SIZE            ready when so much is left to copy (64M)\n"
		"  --max-rounds NUMBER     give up after so many rounds (%u)\n"
		"  --last-phase SECONDS    how long the guest may be stopped for it (%u)\n"
		"  --rate SIZE             bytes a second, as long as the guest runs\n"
		"  --queue NUMBER          entries of the log's queue (as many as the driver finds right)\n"
		"  --verify last|all       compare the last blocks, or all that are sent (all)\n"
		"  --tls-hostname NAME     what the receiver's certificate is for (HOST)\n"
		"  --dry-run               say how long it would take; write nothing\n"
		"\n"
		"Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 gave up: the guest is too fast\n",
		RECONNECT_DEFAULT, ROUNDS_DEFAULT, LAST_PHASE_DEFAULT);
}

static void __noreturn wrong_usage(void)
{
	print_help(stderr);
	exit(MIRROR_USAGE);
}

static u64 parse_number(const char *text, u64 limit, char **end)
{
	u64 n;

	errno = 0;
	n = strtoull(text, end, 0);
	if (errno || *end == text || *text == '-' || n > limit)
		wrong_usage();
	return n;
}

static u32 parse_u32(const char *text, u32 limit)
{
	char *end;
	u32 n = parse_number(text, limit, &end);

	if (*end)
		wrong_usage();
	return n;
}

/* A number with K, M, G or T */
static u64 parse_size(const char *text)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	u64 n = parse_number(text, 1ULL << 50, &end);

	if (!*end)
		return n;
	unit = strchr(units, *end);
	if (!unit || end[1] || n > 1ULL << 20)
		wrong_usage();
	return n << 10 * (unit - units + 1);
}

static void parse_namespace(struct arguments *a, const char *text)
{
	struct disk *d = &a->disks[a->nr++];
	char *end;

	if (a->nr == ARRAY_SIZE(a->disks))
		wrong_usage();
	d->nsid = parse_number(text, 0xfffffffe, &end);
	for (struct disk *other = a->disks; other < d; other++) {
		if (other->nsid == d->nsid)
			wrong_usage();
	}
	if (!d->nsid || (*end && *end != '=') || strlen(end) > sizeof(d->path))
		wrong_usage();
	if (*end)
		snprintf(d->path, sizeof(d->path), "%s", end + 1);
}

static bool parse_verify(const char *text)
{
	if (strcmp(text, "all") && strcmp(text, "last"))
		wrong_usage();
	return !strcmp(text, "all");
}

static void parse_pf(struct arguments *a, const char *text)
{
	if (strlen(text) >= sizeof(a->c.pf))
		wrong_usage();
	snprintf(a->c.pf, sizeof(a->c.pf), "%s", text);
}

/* Options of both; returns whether it was one */
static bool parse_common(struct arguments *a, int c)
{
	switch (c) {
	case 'v':
		a->vf = optarg;
		return true;
	case 'p':
		parse_pf(a, optarg);
		return true;
	case 'c':
		a->c.cntlid = parse_u32(optarg, 0xffff);
		a->has_cntlid = true;
		return true;
	case 'n':
		parse_namespace(a, optarg);
		return true;
	case 't':
		a->tls_dir = optarg;
		return true;
	case 'r':
		a->so.reconnect = parse_u32(optarg, SECONDS_MAX);
		return true;
	case 'j':
		report_json();
		return true;
	case 'h':
		print_help(stdout);
		exit(MIRROR_DONE);
	}
	return false;
}

static void parse_send(struct arguments *a, int c)
{
	switch (a->send ? c : 0) {
	case 'Q':
		a->so.qmp = optarg;
		break;
	case 'M':
		a->so.migrate = optarg;
		break;
	case 'R':
		a->so.ready = parse_size(optarg);
		break;
	case 'N':
		a->so.max_rounds = parse_u32(optarg, 1000000);
		break;
	case 'L':
		a->so.last_phase = parse_u32(optarg, SECONDS_MAX);
		break;
	case 'S':
		a->so.rate = parse_size(optarg);
		break;
	case 'E':
		a->so.queue = parse_u32(optarg, UINT32_MAX);
		break;
	case 'V':
		a->so.verify = parse_verify(optarg);
		break;
	case 'H':
		a->so.tls_name = optarg;
		break;
	case 'D':
		a->dry = true;
		break;
	default:
		wrong_usage();
	}
}

static void parse_command(struct arguments *a, const char *text)
{
	if (!strcmp(text, "-h") || !strcmp(text, "--help")) {
		print_help(stdout);
		exit(MIRROR_DONE);
	}
	if (strcmp(text, "send") && strcmp(text, "receive"))
		wrong_usage();
	a->send = !strcmp(text, "send");
}

/* One way to name the controller; a receiver needs none if it has all paths */
static void check_arguments(struct arguments *a)
{
	bool paths = a->nr && !a->send;

	for (u32 i = 0; i < a->nr; i++)
		paths = paths && *a->disks[i].path;
	if ((a->vf && (*a->c.pf || a->has_cntlid)) || !*a->c.pf != !a->has_cntlid)
		wrong_usage();
	if (!a->vf && !*a->c.pf && !paths)
		wrong_usage();
	if ((a->so.migrate && !a->so.qmp) || !a->so.last_phase || !a->so.max_rounds)
		wrong_usage();
}

static void parse_arguments(struct arguments *a, int argc, char **argv)
{
	static const struct option options[] = {
		{ "vf", required_argument, NULL, 'v' },
		{ "pf", required_argument, NULL, 'p' },
		{ "cntlid", required_argument, NULL, 'c' },
		{ "namespace", required_argument, NULL, 'n' },
		{ "tls", required_argument, NULL, 't' },
		{ "reconnect", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "qmp", required_argument, NULL, 'Q' },
		{ "migrate", required_argument, NULL, 'M' },
		{ "ready", required_argument, NULL, 'R' },
		{ "max-rounds", required_argument, NULL, 'N' },
		{ "last-phase", required_argument, NULL, 'L' },
		{ "rate", required_argument, NULL, 'S' },
		{ "queue", required_argument, NULL, 'E' },
		{ "verify", required_argument, NULL, 'V' },
		{ "tls-hostname", required_argument, NULL, 'H' },
		{ "dry-run", no_argument, NULL, 'D' },
		{ }
	};
	int c;

	if (argc < 2)
		wrong_usage();
	parse_command(a, argv[1]);
	optind = 2;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (!parse_common(a, c))
			parse_send(a, c);
	}
	if (argc - optind != 1)
		wrong_usage();
	check_arguments(a);
	a->so.address = argv[optind];
	a->ro.listen = argv[optind];
	a->ro.reconnect = a->so.reconnect;
}

static int find_disks(struct arguments *a)
{
	int ret = a->vf ? controller_of_vf(&a->c, a->vf) : 0;

	a->so.all = !a->nr;
	if (!ret && !a->nr) {
		ret = controller_disks(&a->c, a->disks, ARRAY_SIZE(a->disks));
		a->nr = max(ret, 0);
		ret = min(ret, 0);
	}
	for (u32 i = 0; i < a->nr && !ret; i++) {
		if (!*a->disks[i].path)
			ret = controller_path(&a->c, &a->disks[i]);
	}
	return ret;
}

static int open_disks(struct arguments *a)
{
	int ret = 0;

	for (u32 i = 0; i < a->nr && !ret; i++)
		ret = disk_open(&a->disks[i], !a->send);
	return ret;
}

static int run(struct arguments *a)
{
	struct tls tls = { };
	int ret = a->tls_dir ? tls_load(&tls, a->tls_dir, !a->send) : 0;

	ret = ret ?: find_disks(a);
	ret = ret ?: open_disks(a);
	a->so.tls = a->tls_dir ? &tls : NULL;
	a->ro.tls = a->so.tls;
	a->so.pf = a->c.pf;
	a->so.cntlid = a->c.cntlid;
	if (!ret && !a->send)
		ret = receive(a->disks, a->nr, &a->ro);
	else if (!ret)
		ret = a->dry ? mirror_dry_run(a->disks, a->nr, &a->so) :
			       mirror_send(a->disks, a->nr, &a->so);

	for (u32 i = 0; i < a->nr; i++)
		disk_close(&a->disks[i]);
	tls_free(&tls);
	return ret;
}

int main(int argc, char **argv)
{
	static struct arguments a = {
		.so = {
			.ready = READY_DEFAULT,
			.max_rounds = ROUNDS_DEFAULT,
			.reconnect = RECONNECT_DEFAULT,
			.last_phase = LAST_PHASE_DEFAULT,
			.verify = true,
		},
	};

	for (u32 i = 0; i < ARRAY_SIZE(a.disks); i++)
		a.disks[i].fd = -1;
	parse_arguments(&a, argc, argv);
	catch_signals();
	if (!run(&a))
		return MIRROR_DONE;

	report_numbers("failed", fail_reason(), "code", (u64)fail_code(), NULL);
	return fail_code();
}
