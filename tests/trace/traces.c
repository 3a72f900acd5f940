/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Performs scripts: those that are named, or every one below tests/trace.  Each file runs in a process of its own, so that
 * one that brings the engine down does not hide the others.
 *
 *   tests/trace/traces [-v] [-r] [-4|-6] [FILE|FOLDER...]
 *
 * -v names the cases that pass; -r helps to write one: it prints the script with all that was sent and not expected.  Each is
 * performed over IPv4 and over IPv6, or over the one that is named.
 */
#include "tests/trace/trace.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_ = 512, FILE_S = 60 };

static bool verbose, record;
static char only; /* 4, 6: this family; else both */
static unsigned cases, files, failures;

static FILE *open_include(const char *by, const char *name, char *path, size_t size)
{
	const char *slash = strrchr(by, '/');
	FILE *f;

	snprintf(path, size, "%.*s%s", slash != NULL ? (int)(slash - by) + 1 : 0, by, name);
	f = fopen(path, "r");
	if (f != NULL)
		return f;
	snprintf(path, size, "%.*s../%s", slash != NULL ? (int)(slash - by) + 1 : 0, by, name);
	return fopen(path, "r");
}

static bool perform_file(struct run *r, FILE *f, const char *path, unsigned depth, unsigned *done);

static bool include(struct run *r, const char *path, unsigned line, const char *name, unsigned depth)
{
	char other[1024];
	unsigned done = 0;
	FILE *f = depth < INCLUDES ? open_include(path, name, other, sizeof(other)) : NULL;
	bool good, told = r->record;

	r->file = path;
	r->line = line;
	if (f == NULL)
		return wrong(r, "cannot include %s", name);
	if (told)
		printf("include %s\n", name);
	r->record = false;
	good = perform_file(r, f, other, depth + 1, &done);
	r->record = told;
	r->told_us = r->clock_us;
	fclose(f);
	return good;
}

/* One case is over: did it end well? */
static bool finish(struct run *r, const char *path, const char *name)
{
	run_end(r);
	if (r->failed)
		printf("%s\n\tin case: %s, IPv%c\n", r->why, name[0] != '\0' ? name : path, r->six ? '6' : '4');
	else if (verbose)
		printf("ok %s %s\n", path, name);
	return !r->failed;
}

/* After a failure the lines up to the next case are passed over. */
static bool perform_file(struct run *r, FILE *f, const char *path, unsigned depth, unsigned *done)
{
	char text[LINE_MAX_], name[LINE_MAX_] = "", word_[128];
	bool good = true, any = false;

	for (unsigned line = 1; fgets(text, sizeof(text), f) != NULL; line++) {
		struct cursor c = { text };

		text[strcspn(text, "\n")] = '\0';
		if (depth == 0 && word(&c, "case")) {
			if (any) {
				good = finish(r, path, name) && good;
				++*done;
			}
			run_begin(r, r->six);
			r->record = record;
			any = true;
			if (record)
				puts(text);
			snprintf(name, sizeof(name), "%s", c.at + strspn(c.at, " \t"));
			continue;
		}
		if (record && depth == 0 && (at_end(&c) || strncmp(text, "option", 6) == 0))
			puts(text);
		any = any || !at_end(&c);
		if (r->failed)
			continue;
		if (word(&c, "include"))
			(void)(take_name(&c, word_, sizeof(word_)) && include(r, path, line, word_, depth));
		else
			(void)run_line(r, path, line, text);
	}
	if (depth > 0)
		return !r->failed;
	++*done;
	return finish(r, path, name) && good;
}

static int run_file(const char *path, bool six, int fd)
{
	static struct run r;
	unsigned done = 0;
	FILE *f = fopen(path, "r");
	bool good;

	if (f == NULL) {
		printf("%s: %s\n", path, "cannot be read");
		return EXIT_FAILURE;
	}
	alarm(FILE_S);
	run_begin(&r, six);
	r.record = record;
	good = perform_file(&r, f, path, 0, &done);
	fclose(f);
	fflush(stdout);
	return write(fd, &done, sizeof(done)) == sizeof(done) && good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void start_file(const char *path, bool six)
{
	unsigned done = 0;
	int fds[2], status = 0;
	pid_t pid;

	fflush(stdout);
	if (pipe(fds) != 0 || (pid = fork()) < 0) {
		perror("traces");
		exit(EXIT_FAILURE);
	}
	if (pid == 0)
		exit(run_file(path, six, fds[1]));
	close(fds[1]);
	if (read(fds[0], &done, sizeof(done)) != sizeof(done))
		printf("%s: it did not come to its end\n", path);
	close(fds[0]);
	(void)waitpid(pid, &status, 0);
	files++;
	cases += done;
	failures += status != 0;
}

static int script_or_folder(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && (strchr(d->d_name, '.') == NULL || (n > 6 && strcmp(d->d_name + n - 6, ".trace") == 0));
}

static void start_all(const char *path, unsigned depth)
{
	struct dirent **list;
	struct stat st;
	char sub[1024];
	int n;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		if (depth > 0 && strstr(path, ".trace") == NULL)
			return;
		if (only != '6')
			start_file(path, false);
		if (only != '4' && !record)
			start_file(path, true);
		return;
	}
	n = depth < 4 ? scandir(path, &list, script_or_folder, alphasort) : -1;
	for (int i = 0; i < n; i++) {
		snprintf(sub, sizeof(sub), "%s/%s", path, list[i]->d_name);
		start_all(sub, depth + 1);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

int main(int argc, char **argv)
{
	const char *top = getenv("srcdir");
	char path[1024];
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		verbose = verbose || argv[i][1] == 'v';
		record = record || argv[i][1] == 'r';
		only = argv[i][1] == '4' || argv[i][1] == '6' ? argv[i][1] : only;
	}
	if (i == argc) {
		snprintf(path, sizeof(path), "%s/tests/trace", top != NULL ? top : ".");
		start_all(path, 0);
	}
	for (; i < argc; i++)
		start_all(argv[i], 0);
	printf("traces: %u files (IPv4 and IPv6 count twice) with %u cases, %u files failed\n", files, cases, failures);
	return failures > 0 || cases == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
