/*
 * Calls each function of GnuTLS that moves plaintext, over success, error, retry and partial paths,
 * and prints what each call moved. A client and a server of one process talk over a socket pair, or
 * through memory.
 *
 * gnutls_calls CERTIFICATE KEY FILE    FILE is what gnutls_record_send_file sends
 *
 * It prints `ready`, waits for a line on standard input, and then prints for each call that moved
 * plaintext: `SCENARIO FUNCTION client|server send|recv LEN HEX`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What one end wrote and the other has not read, where they talk through memory. */
struct pipe {
	char bytes[1 << 18];
	size_t from, to;
};

struct end {
	const char *name;
	gnutls_session_t session;
	int fd;
	struct pipe received;
	struct end *other;
};

#define LAST_ERROR errno
#include "calls.h"

static gnutls_certificate_credentials_t client_credentials, server_credentials;
static gnutls_datum_t ticket_key;
static gnutls_anti_replay_t anti_replay;

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "%s: ", gnutls_strerror(result));
		fail(what);
	}
}

/* What a pair of ends is made with. */
struct kind {
	const char *name;
	const char *priority;
	unsigned int flags;
	bool memory;
};

static const struct kind tls13 = {"tls13", "NORMAL:-VERS-ALL:+VERS-TLS1.3", 0, false};
static const struct kind tls12 = {"tls12", "NORMAL:-VERS-ALL:+VERS-TLS1.2", 0, false};
static const struct kind dtls = {"dtls", "NORMAL", GNUTLS_DATAGRAM, false};
static const struct kind memory = {"memory", "NORMAL", 0, true};
static const struct kind early = {"early", "NORMAL:-VERS-ALL:+VERS-TLS1.3",
				  GNUTLS_ENABLE_EARLY_DATA, false};

/* Every early data is seen for the first time here. */
static int first_time(void *pointer, time_t expires, const gnutls_datum_t *key,
		      const gnutls_datum_t *data)
{
	(void)pointer;
	(void)expires;
	(void)key;
	(void)data;
	return 0;
}

static ssize_t push(gnutls_transport_ptr_t pointer, const void *data, size_t len)
{
	struct end *end = pointer;
	struct pipe *pipe = &end->other->received;

	if (len > sizeof(pipe->bytes) - pipe->to)
		len = sizeof(pipe->bytes) - pipe->to;
	if (!len) {
		gnutls_transport_set_errno(end->session, EAGAIN);
		return -1;
	}
	memcpy(pipe->bytes + pipe->to, data, len);
	pipe->to += len;
	return len;
}

static ssize_t pull(gnutls_transport_ptr_t pointer, void *data, size_t len)
{
	struct end *end = pointer;
	struct pipe *pipe = &end->received;

	if (len > pipe->to - pipe->from)
		len = pipe->to - pipe->from;
	if (!len) {
		gnutls_transport_set_errno(end->session, EAGAIN);
		return -1;
	}
	memcpy(data, pipe->bytes + pipe->from, len);
	pipe->from += len;
	if (pipe->from == pipe->to)
		pipe->from = pipe->to = 0;
	return len;
}

static void open_end(struct end *end, const struct kind *kind, unsigned int side,
		     gnutls_certificate_credentials_t credentials)
{
	check(gnutls_init(&end->session, side | GNUTLS_NONBLOCK | kind->flags), "gnutls_init");
	check(gnutls_priority_set_direct(end->session, kind->priority, NULL), "priority");
	check(gnutls_credentials_set(end->session, GNUTLS_CRD_CERTIFICATE, credentials),
	      "credentials");
	if (kind->memory) {
		end->received.from = end->received.to = 0;
		gnutls_transport_set_ptr(end->session, end);
		gnutls_transport_set_push_function(end->session, push);
		gnutls_transport_set_pull_function(end->session, pull);
	} else {
		gnutls_transport_set_int(end->session, end->fd);
	}
	if (kind->flags & GNUTLS_DATAGRAM)
		gnutls_dtls_set_mtu(end->session, 1400);
}

static void open_pair(const struct kind *kind)
{
	int type = kind->flags & GNUTLS_DATAGRAM ? SOCK_DGRAM : SOCK_STREAM;

	client.fd = server.fd = -1;
	if (!kind->memory)
		connect_locally(type);
	client.other = &server;
	server.other = &client;
	open_end(&client, kind, GNUTLS_CLIENT, client_credentials);
	open_end(&server, kind, GNUTLS_SERVER, server_credentials);
}

static void close_pair(void)
{
	gnutls_deinit(client.session);
	gnutls_deinit(server.session);
	if (client.fd >= 0) {
		close(client.fd);
		close(server.fd);
	}
}

/* To be asked only until it is done: after that it would begin another one. */
static int goes_on(struct end *end, int before)
{
	int result = before ? gnutls_handshake(end->session) : 0;

	if (result && gnutls_error_is_fatal(result))
		check(result, end->name);
	return result;
}

static void handshake(void)
{
	int a = 1, b = 1;

	while (a || b) {
		a = goes_on(&client, a);
		b = goes_on(&server, b);
	}
}

static size_t send_plain(struct end *end, const void *data, size_t len)
{
	return sent(end, "gnutls_record_send", data, gnutls_record_send(end->session, data, len));
}

static size_t send_2(struct end *end, const void *data, size_t len)
{
	size_t pad = gnutls_protocol_get_version(end->session) == GNUTLS_TLS1_3 ? 7 : 0;

	return sent(end, "gnutls_record_send2", data,
		    gnutls_record_send2(end->session, data, len, pad, 0));
}

static size_t send_range(struct end *end, const void *data, size_t len)
{
	gnutls_range_st range = {.low = len, .high = len + 50};

	return sent(end, "gnutls_record_send_range", data,
		    gnutls_record_send_range(end->session, data, len, &range));
}

static size_t recv_plain(struct end *end, void *data, size_t len)
{
	return received(end, "gnutls_record_recv", data,
			gnutls_record_recv(end->session, data, len));
}

static size_t recv_seq(struct end *end, void *data, size_t len)
{
	unsigned char sequence[8];

	return received(end, "gnutls_record_recv_seq", data,
			gnutls_record_recv_seq(end->session, data, len, sequence));
}

static size_t recv_packet(struct end *end, void *data, size_t len)
{
	gnutls_packet_t packet;
	gnutls_datum_t contents;
	ssize_t moved = gnutls_record_recv_packet(end->session, &packet);

	(void)data;
	(void)len;
	if (moved <= 0)
		return 0;
	gnutls_packet_get(packet, &contents, NULL);
	if (contents.size != (size_t)moved)
		fail("gnutls_packet_get");
	report(end, "gnutls_record_recv_packet", "recv", contents.data, contents.size);
	gnutls_packet_deinit(packet);
	return moved;
}

static void after_the_end(writer *write, reader *read)
{
	one_each_way(write, read);
	gnutls_bye(client.session, GNUTLS_SHUT_WR);
	if (read(&server, buffer, 100))
		fail("read something after close_notify");
}

static void of_no_length(writer *write, reader *read)
{
	gnutls_record_send(client.session, "", 0);
	gnutls_record_recv(server.session, buffer, 0);
	one_each_way(write, read);
}

static const struct {
	const char *name;
	void (*run)(writer *, reader *);
} scenarios[] = {
    {"one_each_way", one_each_way},
    {"in_several_reads", in_several_reads},
    {"nothing_to_read_yet", nothing_to_read_yet},
    {"after_the_end", after_the_end},
    {"of_no_length", of_no_length},
};

static void run_all(const struct kind *kind, const char *functions, writer *write, reader *read)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		NAME_SCENARIO("%s/%s/%s", kind->name, functions, scenarios[i].name);
		open_pair(kind);
		handshake();
		scenarios[i].run(write, read);
		close_pair();
	}
}

static size_t drain(reader *read, struct end *end)
{
	size_t all = 0;

	for (size_t moved; (moved = read(end, buffer, sizeof(buffer)));)
		all += moved;
	return all;
}

/* How an interrupted call is resumed. */
enum resume {
	WITH_THE_SAME,
	WITH_NOTHING, /* the program may have used its buffer for something else */
};

/*
 * The transport takes less than the program wants to send. Each call sends at most one record; one
 * that is interrupted has encrypted its data.
 */
static void refused(const struct kind *kind, writer *write, enum resume how)
{
	const size_t len = 300000;
	char *data = malloc(len), *copy = malloc(len);
	size_t got = 0, done = 0;
	int refusals = 0;

	NAME_SCENARIO("%s/%s/refused", kind->name, how == WITH_NOTHING ? "nothing" : "same");
	open_pair(kind);
	handshake();
	memcpy(data, text(len), len);
	memcpy(copy, data, len);
	while (done < len) {
		ssize_t moved =
		    write == send_2
			? gnutls_record_send2(client.session, data + done, len - done, 0, 0)
			: gnutls_record_send(client.session, data + done, len - done);

		if (moved == GNUTLS_E_AGAIN && how == WITH_NOTHING)
			memset(data + done, '!', len - done);
		while (moved == GNUTLS_E_AGAIN || moved == GNUTLS_E_INTERRUPTED) {
			refusals++;
			got += drain(recv_plain, &server);
			moved = how == WITH_NOTHING
				    ? gnutls_record_send(client.session, NULL, 0)
				    : gnutls_record_send(client.session, data + done, len - done);
		}
		check(moved, "gnutls_record_send");
		report(&client, "gnutls_record_send", "send", copy + done, moved);
		memcpy(data + done, copy + done, len - done);
		done += moved;
	}
	got += drain(recv_plain, &server);
	if (!refusals)
		fail("the write was never refused");
	if (got != len)
		fail("refused");
	close_pair();
	free(data);
	free(copy);
}

/* What an interrupted call has taken is thrown away before it is sent, where nothing of it was. */
static void discarded(void)
{
	char last[1000];
	int taken = 0;
	ssize_t moved;

	NAME_SCENARIO("dtls/discarded");
	open_pair(&dtls);
	handshake();
	do {
		memcpy(last, text(1000), 1000);
		moved = gnutls_record_send(client.session, last, 1000);
		if (moved > 0)
			report(&client, "gnutls_record_send", "send", last, moved);
		taken++;
	} while (moved > 0);
	if (moved != GNUTLS_E_AGAIN || taken < 2)
		fail("the write was never refused");
	gnutls_record_discard_queued(client.session);
	drain(recv_plain, &server);
	one_each_way(send_plain, recv_plain);
	close_pair();
}

/* Corked data counts when it is handed over. */
static void corked(const struct kind *kind, bool large)
{
	const size_t len = large ? 60000 : 700;
	size_t got = 0;
	int result;

	NAME_SCENARIO("%s/cork/%s", kind->name, large ? "large" : "small");
	open_pair(kind);
	handshake();
	for (int i = 0; i < 2; i++) {
		gnutls_record_cork(client.session);
		for (int part = 0; part < 3; part++)
			if (send_plain(&client, text(len / 3), len / 3) != len / 3)
				fail("gnutls_record_send while corked");
		while ((result = gnutls_record_uncork(client.session, 0)) < 0) {
			if (result != GNUTLS_E_AGAIN)
				check(result, "gnutls_record_uncork");
			got += drain(recv_plain, &server);
		}
		got += drain(recv_plain, &server);
	}
	if (got != 2 * (len / 3 * 3))
		fail("corked");
	/* Nothing of it stays behind. */
	one_each_way(send_plain, recv_plain);
	close_pair();
}

/* The function reads the file and sends it as records. */
static void send_file(const struct kind *kind, const char *path)
{
	ssize_t (*send_file)(gnutls_session_t, int, off_t *, size_t) =
	    dlsym(RTLD_DEFAULT, "gnutls_record_send_file");
	const size_t record = 16384;
	char *data = malloc(20000);
	int fd = open(path, O_RDONLY);
	ssize_t len = read(fd, data, 20000), moved;

	if (!send_file)
		return; /* from 3.7.4 on */
	NAME_SCENARIO("%s/send_file", kind->name);
	open_pair(kind);
	handshake();
	lseek(fd, 0, SEEK_SET);
	moved = send_file(client.session, fd, NULL, len);
	check(moved, "gnutls_record_send_file");
	if (moved != len)
		fail("gnutls_record_send_file");
	for (ssize_t at = 0; at < len; at += record)
		report(&client, "gnutls_record_send_file", "send", data + at,
		       len - at < (ssize_t)record ? len - at : (ssize_t)record);
	drain(recv_plain, &server);
	close_pair();
	close(fd);
	free(data);
}

/* RFC 8446, section 2.3. Needs a session of an earlier connection. */
static void early_data(void)
{
	gnutls_datum_t session = {NULL, 0};
	char both[401], *data;

	NAME_SCENARIO("early/session");
	open_pair(&early);
	check(gnutls_session_ticket_enable_server(server.session, &ticket_key), "tickets");
	gnutls_anti_replay_enable(server.session, anti_replay);
	handshake();
	one_each_way(send_plain, recv_plain);
	check(gnutls_session_get_data2(client.session, &session), "gnutls_session_get_data2");
	close_pair();

	NAME_SCENARIO("early/data");
	open_pair(&early);
	check(gnutls_session_ticket_enable_server(server.session, &ticket_key), "tickets");
	gnutls_anti_replay_enable(server.session, anti_replay);
	check(gnutls_session_set_data(client.session, session.data, session.size),
	      "gnutls_session_set_data");
	/* Two calls hand data over; the handshake sends it. */
	data = text(sizeof(both));
	memcpy(both, data, sizeof(both));
	check(gnutls_record_send_early_data(client.session, data, 200), "early data");
	check(gnutls_record_send_early_data(client.session, data + 200, 201), "early data");
	handshake();
	if (!(gnutls_session_get_flags(server.session) & GNUTLS_SFLAGS_EARLY_DATA))
		fail("the server did not take early data");
	report(&client, "gnutls_record_send_early_data", "send", both, sizeof(both));
	for (ssize_t got; (got = gnutls_record_recv_early_data(server.session, buffer, 150)) > 0;)
		report(&server, "gnutls_record_recv_early_data", "recv", buffer, got);
	one_each_way(send_plain, recv_plain);
	close_pair();
	gnutls_free(session.data);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		fail("wrong arguments");
	check(gnutls_certificate_allocate_credentials(&client_credentials), "credentials");
	check(gnutls_certificate_allocate_credentials(&server_credentials), "credentials");
	check(gnutls_certificate_set_x509_key_file(server_credentials, argv[1], argv[2],
						   GNUTLS_X509_FMT_PEM),
	      "certificate");
	check(gnutls_session_ticket_key_generate(&ticket_key), "ticket key");
	check(gnutls_anti_replay_init(&anti_replay), "anti-replay");
	gnutls_anti_replay_set_add_function(anti_replay, first_time);
	signal(SIGPIPE, SIG_IGN);
	wait_for_go_ahead();

	for (int i = 0; i < 3; i++) {
		const struct kind *kind = i == 0 ? &tls13 : i == 1 ? &tls12 : &memory;

		run_all(kind, "plain", send_plain, recv_plain);
		run_all(kind, "send2", send_2, recv_seq);
		if (kind != &tls12) /* it cannot hide lengths */
			run_all(kind, "range", send_range, recv_plain);
		run_all(kind, "packet", send_plain, recv_packet);
		refused(kind, send_plain, WITH_THE_SAME);
		refused(kind, send_2, WITH_NOTHING);
		corked(kind, false);
		corked(kind, true);
		send_file(kind, argv[3]);
	}
	run_all(&dtls, "plain", send_plain, recv_seq);
	discarded();
	early_data();
	return 0;
}
