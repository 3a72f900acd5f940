/* SPDX-License-Identifier: BSD-3-Clause
 *
 * EAL for a unit test, cheaply: ordinary memory, no privileges, no files.
 */
#ifndef TESTS_UNIT_EAL_FIXTURE_H
#define TESTS_UNIT_EAL_FIXTURE_H

#include <check.h>

#include "stackd/log.h"
#include "stackd/nic/nic.h"

static inline void eal_open(unsigned memory_mib)
{
	const struct nic_eal_conf c = {.hugepages = "never", .memory_mib = memory_mib};

	log_open(LOG_LEVEL_ERR);
	ck_assert_int_eq(nic_eal_init(&c), 0);
}

#endif
