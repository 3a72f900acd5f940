/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every state with every event, with and without timestamps, over IPv4 and IPv6, against the table in matrix.txt, which says
 * how it is read.
 *
 *   tests/trace/matrix [-p] [FILE]      -p: prints the cells that differ (those with timestamps marked), to be compared with the RFC
 */
#include "tests/trace/matrix.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EVENTS = 256, COLUMNS_MAX = 12 };

static struct happening event[EVENTS];
static unsigned events;
static unsigned column[COLUMNS_MAX], columns; /* of the rows that follow */
static bool print;

/* event NAME LINE; LINE... */
static bool read_event(const char *text)
{
	struct happening *ev = &event[events];
	struct cursor c = { text };
	char *copy, *line, *rest;

	if (events == EVENTS || !take_name(&c, ev->name, sizeof(ev->name)))
		return false;
	ev->when = word(&c, "plain") ? PLAIN : word(&c, "stamped") ? STAMPED : BOTH;
	rest = copy = strdup(c.at);
	while ((line = strsep(&rest, ";")) != NULL && ev->count < LINES)
		snprintf(ev->lines[ev->count++], sizeof(ev->lines[0]), "%s", line + strspn(line, " \t"));
	free(copy);
	events++;
	return true;
}

static const struct happening *find_event(const char *name)
{
	for (unsigned i = 0; i < events; i++)
		if (strcmp(event[i].name, name) == 0)
			return &event[i];
	return NULL;
}

/* columns NAME... */
static bool read_columns(const char *text)
{
	struct cursor c = { text };
	char name[8];

	for (columns = 0; take_name(&c, name, sizeof(name)); columns++) {
		if (columns == COLUMNS_MAX || !cell_column(name, &column[columns]))
			return false;
	}
	return columns > 0;
}

/* Is one cell as it should be, with timestamps or without? */
static bool check_cell(const char *where, unsigned col, const struct happening *ev, bool stamps, const char *cell)
{
	char got[2][1100];

	if (ev->when == (stamps ? PLAIN : STAMPED))
		return true;
	for (unsigned six = 0; six < 2; six++) {
		if (cell_observe(col, ev, stamps, six != 0, got[six], sizeof(got[0])) && strcmp(got[six], cell) == 0)
			continue;
		if (print)
			printf(" %.50s%s", got[six], stamps ? "'" : "");
		else
			printf("%s %s in %s%s, IPv%c: %s, not %s\n", where, ev->name, cell_column_name(col),
			       stamps ? " with timestamps" : "", six != 0 ? '6' : '4', got[six], cell);
		return false;
	}
	return true;
}

/* Number of cells that differ. */
static unsigned check_row(const char *path, unsigned line, const struct happening *ev, char **cells)
{
	char where[1100];
	unsigned bad = 0;

	snprintf(where, sizeof(where), "%s:%u:", path, line);
	if (print)
		printf("%-14s", ev->name);
	for (unsigned i = 0; i < columns; i++)
		for (unsigned stamps = 0; stamps < 2; stamps++)
			bad += !check_cell(where, column[i], ev, stamps != 0, cells[i]);
	if (print)
		printf("\n");
	return bad;
}

static bool row(const char *path, unsigned line, char *text, unsigned *bad)
{
	char *cells[COLUMNS_MAX], *name = strtok(text, " \t"), *cell;
	const struct happening *ev = find_event(name);
	unsigned n = 0;
	int status = 0;
	pid_t pid;

	for (; (cell = strtok(NULL, " \t")) != NULL; n++)
		if (n < columns)
			cells[n] = cell;
	if (ev == NULL || (n != columns && !print)) {
		printf("%s:%u: %s: %u cells\n", path, line, ev == NULL ? "no such event" : name, n);
		return false;
	}
	for (; n < columns; n++)
		cells[n] = "?";
	fflush(stdout);
	pid = fork(); /* what brings the engine down costs one row */
	if (pid == 0) {
		alarm(60);
		n = check_row(path, line, ev, cells);
		fflush(stdout);
		_exit(n > 100 ? 100 : (int)n); /* not exit(): it would move our place in the table */
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
		printf("%s:%u: %s: it did not come to its end\n", path, line, name);
		++*bad;
		return false;
	}
	*bad += (unsigned)WEXITSTATUS(status);
	return true;
}

int main(int argc, char **argv)
{
	const char *top = getenv("srcdir");
	unsigned bad = 0, rows = 0, cells = 0;
	char path[1024], text[512];
	bool good = true;
	FILE *f;

	print = argc > 1 && strcmp(argv[1], "-p") == 0;
	snprintf(path, sizeof(path), "%s/tests/trace/matrix.txt", top != NULL ? top : ".");
	if (argc > 1 + print)
		snprintf(path, sizeof(path), "%s", argv[1 + print]);
	f = fopen(path, "r");
	for (unsigned line = 1; f != NULL && fgets(text, sizeof(text), f) != NULL; line++) {
		struct cursor c = { text };

		text[strcspn(text, "\n")] = '\0';
		if (print && (at_end(&c) || strncmp(text, "event ", 6) == 0 || strncmp(text, "columns ", 8) == 0))
			printf("%s\n", text);
		text[strcspn(text, "#")] = '\0';
		if (at_end(&c))
			continue;
		if (word(&c, "event") || word(&c, "columns")) {
			if (!(text[0] == 'e' ? read_event(c.at) : read_columns(c.at))) {
				printf("%s:%u: not understood: %s\n", path, line, text);
				good = false;
			}
			continue;
		}
		rows++;
		cells += columns;
		good = row(path, line, text, &bad) && good;
	}
	if (f != NULL)
		fclose(f);
	printf("matrix: %u rows with %u cells, each over IPv4 and IPv6, with and without timestamps; %u wrong\n", rows, cells, bad);
	return good && bad == 0 && rows > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
