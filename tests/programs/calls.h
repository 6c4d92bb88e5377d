/*
 * What the programs that call each function of a library have in common: the paths that all
 * libraries have, and the report of what each call moved. Included once these are defined:
 *
 * struct end   with a `name` and the socket `fd`, -1 if it has none
 * LAST_ERROR   the library's error number, beside which a failure is understood
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct end client = {.name = "client", .fd = -1}, server = {.name = "server", .fd = -1};

static char scenario[100] = "start";

#define NAME_SCENARIO(...) snprintf(scenario, sizeof(scenario), __VA_ARGS__)

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s: error %ld\n", program_invocation_short_name, scenario, what,
		(long)LAST_ERROR);
	exit(1);
}

/* Some records, but not all that are written at once. */
static const int small_buffer = 24000;

/* Gives the two ends a local connection that does not block. */
static void connect_locally(int type)
{
	int fds[2];

	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds))
		fail("socketpair");
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small_buffer, sizeof(small_buffer));
	client.fd = fds[0];
	server.fd = fds[1];
}

/* Tells that the program has what it needs, and waits for a line on standard input. */
static void wait_for_go_ahead(void)
{
	char line[10];

	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		fail("no go-ahead");
}

static void report(const struct end *end, const char *function, const char *dir, const void *data,
		   size_t len)
{
	const unsigned char *bytes = data;

	printf("%s %s %s %s %zu ", scenario, function, end->name, dir, len);
	for (size_t i = 0; i < len; i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

/* A run of text that differs from call to call. */
static char *text(size_t len)
{
	static char buffer[1 << 20];
	static unsigned int state = 1;

	if (len > sizeof(buffer))
		fail("text too long");
	for (size_t i = 0; i < len; i++) {
		state = state * 1103515245 + 12345;
		buffer[i] = 'a' + (state >> 16) % 26;
	}
	return buffer;
}

/*
 * The functions behind one signature each; they report what they moved. A result of 0 is: nothing.
 */
typedef size_t writer(struct end *, const void *, size_t);
typedef size_t reader(struct end *, void *, size_t);

static size_t sent(struct end *end, const char *function, const void *data, ssize_t moved)
{
	if (moved <= 0)
		return 0;
	report(end, function, "send", data, moved);
	return moved;
}

static size_t received(struct end *end, const char *function, const void *data, ssize_t moved)
{
	if (moved <= 0)
		return 0;
	report(end, function, "recv", data, moved);
	return moved;
}

static char buffer[1 << 20];

/* Reads until `len` bytes have come. */
static void read_all(reader *read, struct end *end, size_t len, size_t at_once)
{
	int dry = 0;

	while (len) {
		size_t moved = read(end, buffer, at_once < len ? at_once : len);

		/* A message of the handshake's may come first. */
		if (!moved && ++dry > 10)
			fail("the reader ran dry");
		if (!moved && end->fd >= 0)
			poll(&(struct pollfd){.fd = end->fd, .events = POLLIN}, 1, 1000);
		len -= moved;
	}
}

static void one_each_way(writer *write, reader *read)
{
	if (write(&client, text(100), 100) != 100)
		fail("write");
	read_all(read, &server, 100, 100);
	if (write(&server, text(1), 1) != 1)
		fail("write");
	read_all(read, &client, 1, 100);
}

static void in_several_reads(writer *write, reader *read)
{
	if (write(&client, text(1000), 1000) != 1000)
		fail("write");
	read_all(read, &server, 1000, 300);
}

static void nothing_to_read_yet(writer *write, reader *read)
{
	for (int i = 0; i < 3; i++)
		if (read(&server, buffer, 100))
			fail("read something");
	one_each_way(write, read);
	if (read(&server, buffer, 100))
		fail("read something");
}
