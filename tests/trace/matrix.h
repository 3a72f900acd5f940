/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every state with every event: what the table (matrix.c) and its cells (cell.c) have in common.
 */
#ifndef TESTS_TRACE_MATRIX_H
#define TESTS_TRACE_MATRIX_H

#include "tests/trace/trace.h"

enum { LINES = 8, LINE_MAX_LEN = 128 };

/* An event of the table. */
struct happening {
	char name[32], lines[LINES][LINE_MAX_LEN];
	unsigned count;
	enum { BOTH, PLAIN, STAMPED } when; /* with timestamps, without */
};

bool cell_column(const char *name, unsigned *col);
const char *cell_column_name(unsigned col);

/* The cell of one state and one event, as it is.  false: cell says why it could not be had. */
bool cell_observe(unsigned col, const struct happening *ev, bool stamps, bool six, char *cell, size_t size);

#endif
