/*
 * hog - a workload that behaves badly
 *
 *	hog forks	fork wherever it can, in every child too, for 2 s
 *	hog memory	take all the memory there is
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FORKS_S	2
#define CHUNK	(1 << 20)

static int forks(void)
{
	time_t end = time(NULL) + FORKS_S;
	int refused = 0;
	pid_t pid;

	while (time(NULL) < end) {
		pid = fork();
		if (pid < 0) {
			refused = errno;
			usleep(100000);
		}
	}
	/* Of the first one; the others have no say */
	printf("refused: %s\n", refused ? strerror(refused) : "never");
	return refused != EAGAIN;
}

static int memory(void)
{
	for (;;) {
		char *p = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return 1;
		memset(p, 1, CHUNK);
	}
}

int main(int argc, char **argv)
{
	pid_t first = getpid();
	int rc;

	if (argc < 2)
		return 2;
	setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
	if (strcmp(argv[1], "memory") == 0)
		return memory();
	rc = forks();
	if (getpid() != first)
		_exit(0);
	return rc;
}
