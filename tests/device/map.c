// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers of one function while the memory of another one goes and comes: on a host with two
 * CPUs each access has to reach the function that it is for. MAP_READ and MAP_TOGGLE have their
 * PCI addresses; both have no driver.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"

#define COMMAND		4
#define COMMAND_MEMORY	2
#define TOGGLES		1000
#define VS		2	/* dword */

static bool done;
static u32 *regs;
static unsigned long wrong;

static int open_file(const char *variable, const char *name)
{
	const char *bdf = getenv(variable);
	char path[128];
	int fd;

	if (!EXPECT(bdf, "%s is not set", variable))
		return -1;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, name);
	fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
	EXPECT(fd >= 0, "%s", path);
	return fd;
}

static void *read_registers(void *arg)
{
	u32 vs = READ_ONCE(regs[VS]);

	while (!READ_ONCE(done))
		wrong += READ_ONCE(regs[VS]) != vs;
	return NULL;
}

static bool set_memory(int fd, bool on)
{
	u16 command;

	if (pread(fd, &command, sizeof(command), COMMAND) != sizeof(command))
		return false;
	command = on ? command | COMMAND_MEMORY : command & ~COMMAND_MEMORY;
	return pwrite(fd, &command, sizeof(command), COMMAND) == sizeof(command);
}

static void toggle(int fd)
{
	unsigned int i;

	for (i = 0; i < TOGGLES; i++)
		if (!EXPECT(set_memory(fd, false) && set_memory(fd, true), "round %u", i))
			return;
}

static void test_map(void)
{
	int resource = open_file("MAP_READ", "resource0");
	int config = open_file("MAP_TOGGLE", "config");
	pthread_t reader;

	if (resource < 0 || config < 0)
		return;
	regs = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, resource, 0);
	if (!EXPECT(regs != MAP_FAILED, "mmap") ||
	    !EXPECT_EQ(pthread_create(&reader, NULL, read_registers, NULL), 0, "thread"))
		return;
	toggle(config);
	WRITE_ONCE(done, true);
	pthread_join(reader, NULL);
	EXPECT_EQ(wrong, 0, "reads of VS that gave something else");
}

int main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{ "registers while the memory map changes", test_map, 0 },
	};

	return tap_main(tests, 1, argc, argv, NULL, NULL);
}
