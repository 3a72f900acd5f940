/* SPDX-License-Identifier: BSD-3-Clause
 *
 * main() of a fuzzer where no libFuzzer drives it: the corpus, then inputs made of it by a seeded generator.  Few in make
 * check; STACKD_FUZZ_S=SECONDS runs that long, FUZZ_SEED chooses others.  An argument is a file to be replayed.  The
 * input that kills the fuzzer can be had again: its seed is told (of what a sanitizer finds, too, with abort_on_error=1 in its
 * options), and FUZZ_ONE=SEED replays it.
 *
 * With libFuzzer: clang -DFUZZ_LIBFUZZER -fsanitize=fuzzer,address,undefined -I. ...
 */
#ifndef TESTS_FUZZ_DRIVE_H
#define TESTS_FUZZ_DRIVE_H

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A reader of the input's bytes: zeros when they are used up. */
struct feed {
	const uint8_t *at, *end;
};

static inline bool feed_left(const struct feed *f)
{
	return f->at < f->end;
}

static inline uint8_t feed_byte(struct feed *f)
{
	return f->at < f->end ? *f->at++ : 0;
}

static inline void feed_bytes(struct feed *f, void *to, size_t n)
{
	for (uint8_t *p = to; n-- > 0;)
		*p++ = feed_byte(f);
}

static inline uint32_t feed_u32(struct feed *f)
{
	uint32_t v;

	feed_bytes(f, &v, sizeof(v));
	return v;
}

#ifndef FUZZ_LIBFUZZER

enum { DRIVE_FILES = 256, DRIVE_FILE_MAX = 1 << 16 };

static struct {
	uint8_t *data;
	size_t size;
} drive_file[DRIVE_FILES];
static unsigned drive_files;
static uint64_t drive_seed;

static uint64_t drive_rnd(void)
{
	static uint64_t state, of;
	uint64_t z;

	if (of != drive_seed)
		state = of = drive_seed;
	z = state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static bool drive_load(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p;

	if (f == NULL || drive_files == DRIVE_FILES) {
		if (f != NULL)
			fclose(f);
		return false;
	}
	p = malloc(DRIVE_FILE_MAX);
	drive_file[drive_files].size = p == NULL ? 0 : fread(p, 1, DRIVE_FILE_MAX, f);
	drive_file[drive_files++].data = p;
	fclose(f);
	return p != NULL;
}

static void drive_load_all(const char *name)
{
	const char *top = getenv("srcdir");
	char path[1024];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", top != NULL ? top : ".", name);
	d = opendir(path);
	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s/%s", top != NULL ? top : ".", name, e->d_name);
		if (e->d_name[0] != '.')
			drive_load(path);
	}
	if (d != NULL)
		closedir(d);
}

/* Bytes of the corpus, changed here and there; or none of it. */
static size_t drive_make(uint8_t *buf, size_t max)
{
	size_t size = 1 + drive_rnd() % max, changes = drive_rnd() % 16;
	unsigned from = drive_files == 0 ? 0 : (unsigned)(drive_rnd() % (drive_files + 1));

	for (size_t i = 0; i < size; i++)
		buf[i] = (uint8_t)(drive_rnd() >> (drive_rnd() % 3 == 0 ? 24 : 5) % 64);
	if (from == drive_files || drive_files == 0)
		return size;
	if (drive_rnd() % 4 != 0 || size > drive_file[from].size)
		size = drive_file[from].size < max ? drive_file[from].size : max;
	memcpy(buf, drive_file[from].data, size);
	for (size_t i = 0; i < changes && size > 0; i++) {
		uint8_t *p = &buf[drive_rnd() % size];

		switch (drive_rnd() % 4) {
		case 0:
			*p ^= (uint8_t)(1u << drive_rnd() % 8);
			break;
		case 1:
			*p = (uint8_t)drive_rnd();
			break;
		case 2:
			memmove(p, buf + drive_rnd() % size, 1);
			break;
		default: { /* a piece of it again, or of another */
			unsigned other = (unsigned)(drive_rnd() % drive_files);
			size_t n = (size_t)(buf + size - p);

			if (n > drive_file[other].size)
				n = drive_file[other].size;
			memcpy(p, drive_file[other].data, n > 0 ? drive_rnd() % n : 0);
		}
		}
	}
	return size;
}

/* SIGABRT: its last words. */
static void drive_died(int sig)
{
	(void)fprintf(stderr, "the input can be had again with FUZZ_ONE=%llu\n", (unsigned long long)drive_seed);
	(void)signal(sig, SIG_DFL);
	(void)raise(sig); /* when we return */
}

/* runs: in make check; max: bytes of one input. */
static int drive(const char *name, unsigned long runs, size_t max, int argc, char **argv)
{
	const char *seconds = getenv("STACKD_FUZZ_S"), *seed = getenv("FUZZ_SEED"), *one = getenv("FUZZ_ONE");
	uint64_t first = seed != NULL ? strtoull(seed, NULL, 0) << 32 : 1;
	time_t end = seconds != NULL ? time(NULL) + atol(seconds) : 0;
	uint8_t *buf = malloc(max);
	unsigned long n = 0;

	(void)signal(SIGABRT, drive_died);
	for (int i = 1; i < argc; i++)
		drive_load(argv[i]);
	if (argc == 1)
		drive_load_all(name);
	for (unsigned i = 0; i < drive_files; i++)
		LLVMFuzzerTestOneInput(drive_file[i].data, drive_file[i].size);
	while (argc == 1 && (one != NULL ? n == 0 : seconds != NULL ? time(NULL) < end : n < runs)) {
		drive_seed = one != NULL ? strtoull(one, NULL, 0) : first + n;
		LLVMFuzzerTestOneInput(buf, drive_make(buf, max));
		n++;
	}
	printf("%s: %u files and %lu inputs\n", name, drive_files, n);
	for (unsigned i = 0; i < drive_files; i++)
		free(drive_file[i].data);
	free(buf);
	return EXIT_SUCCESS;
}

#define DRIVE_MAIN(name, runs, max) \
	int main(int argc, char **argv) \
	{ \
		return drive(name, runs, max, argc, argv); \
	}
#define DRIVE_SEED drive_seed
#else
#define DRIVE_MAIN(name, runs, max)
#define DRIVE_SEED 0ull
#endif

#endif
