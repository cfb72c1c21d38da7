/* SPDX-License-Identifier: GPL-2.0-only */
/* What dirty_bitmap.c uses of an XArray, as a sorted array */
#ifndef FUZZ_LINUX_XARRAY_H
#define FUZZ_LINUX_XARRAY_H

#include <linux/err.h>
#include <linux/types.h>

struct xa_slot {
	unsigned long index;
	void *entry;
};

struct xarray {
	struct xa_slot *slots;
	size_t nr;
};

#define XA_FLAGS_ACCOUNT	0
#define XA_PRESENT		0

static inline void xa_init_flags(struct xarray *xa, unsigned int flags)
{
	(void)flags;
	xa->slots = NULL;
	xa->nr = 0;
}

static inline void *xa_mk_value(unsigned long v)
{
	return (void *)(v << 1 | 1);
}

static inline unsigned long xa_to_value(const void *entry)
{
	return (unsigned long)entry >> 1;
}

static inline bool xa_is_value(const void *entry)
{
	return (unsigned long)entry & 1;
}

static inline bool xa_is_err(const void *entry)
{
	return IS_ERR(entry);
}

void *xa_load(struct xarray *xa, unsigned long index);
void *xa_store(struct xarray *xa, unsigned long index, void *entry, unsigned int gfp);
void *xa_find_after(struct xarray *xa, unsigned long *index, unsigned long max,
		    unsigned int filter);
void xa_destroy(struct xarray *xa);

#define xa_for_each(xa, i, e)	\
	for (size_t __n = 0; __n < (xa)->nr &&	\
	     ((i) = (xa)->slots[__n].index, (e) = (xa)->slots[__n].entry, true); __n++)

#endif /* FUZZ_LINUX_XARRAY_H */
