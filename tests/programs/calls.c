/*
 * Calls each function that moves plaintext, over success, error, retry and partial paths, and
 * prints what each call moved. A client and a server of one process talk over a socket pair.
 *
 * calls LIBCRYPTO LIBSSL CERTIFICATE KEY [bio]   with the libraries at these paths
 * calls - - CERTIFICATE KEY [bio]                if compiled with -DLINKED: with those it is linked
 * to
 *
 * With `bio` it reads and writes through the library's BIO filter only.
 *
 * It prints `ready`, waits for a line on standard input, and then prints for each call that moved
 * plaintext: `SCENARIO FUNCTION client|server send|recv LEN HEX`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

#ifdef LINKED
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#define HAVE(function) 1
#else
/* Only what is used here, so that one executable runs with every version of the library. */
typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_session_st SSL_SESSION;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;

#define SSL_ERROR_NONE 0
#define SSL_ERROR_WANT_READ 2
#define SSL_ERROR_WANT_WRITE 3
#define SSL_ERROR_ZERO_RETURN 6
#define SSL_FILETYPE_PEM 1
#define SSL_MODE_ENABLE_PARTIAL_WRITE 1L
#define SSL_READ_EARLY_DATA_ERROR 0
#define SSL_READ_EARLY_DATA_SUCCESS 1
#define SSL_READ_EARLY_DATA_FINISH 2
#define SSL_CTRL_MODE 33
#define BIO_C_SET_SSL 109

#define FUNCTIONS(F)                                                                               \
	F(const SSL_METHOD *, TLS_client_method, (void))                                           \
	F(const SSL_METHOD *, TLS_server_method, (void))                                           \
	F(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                            \
	F(void, SSL_CTX_free, (SSL_CTX *))                                                         \
	F(int, SSL_CTX_use_certificate_file, (SSL_CTX *, const char *, int))                       \
	F(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *, const char *, int))                        \
	F(SSL *, SSL_new, (SSL_CTX *))                                                             \
	F(void, SSL_free, (SSL *))                                                                 \
	F(int, SSL_set_fd, (SSL *, int))                                                           \
	F(void, SSL_set_connect_state, (SSL *))                                                    \
	F(void, SSL_set_accept_state, (SSL *))                                                     \
	F(int, SSL_do_handshake, (SSL *))                                                          \
	F(int, SSL_get_error, (const SSL *, int))                                                  \
	F(int, SSL_shutdown, (SSL *))                                                              \
	F(int, SSL_pending, (const SSL *))                                                         \
	F(long, SSL_ctrl, (SSL *, int, long, void *))                                              \
	F(unsigned int, SSL_set_mode, (SSL *, unsigned int))                                       \
	F(SSL_SESSION *, SSL_get1_session, (SSL *))                                                \
	F(int, SSL_set_session, (SSL *, SSL_SESSION *))                                            \
	F(void, SSL_SESSION_free, (SSL_SESSION *))                                                 \
	F(int, SSL_read, (SSL *, void *, int))                                                     \
	F(int, SSL_write, (SSL *, const void *, int))                                              \
	F(int, SSL_peek, (SSL *, void *, int))                                                     \
	F(int, SSL_read_ex, (SSL *, void *, size_t, size_t *))                                     \
	F(int, SSL_write_ex, (SSL *, const void *, size_t, size_t *))                              \
	F(int, SSL_write_ex2, (SSL *, const void *, size_t, unsigned long long, size_t *))         \
	F(int, SSL_peek_ex, (SSL *, void *, size_t, size_t *))                                     \
	F(int, SSL_read_early_data, (SSL *, void *, size_t, size_t *))                             \
	F(int, SSL_write_early_data, (SSL *, const void *, size_t, size_t *))                      \
	F(int, SSL_CTX_set_max_early_data, (SSL_CTX *, unsigned int))                              \
	F(const BIO_METHOD *, BIO_f_ssl, (void))                                                   \
	F(BIO *, BIO_new, (const BIO_METHOD *))                                                    \
	F(int, BIO_free, (BIO *))                                                                  \
	F(long, BIO_ctrl, (BIO *, int, long, void *))                                              \
	F(int, BIO_read, (BIO *, void *, int))                                                     \
	F(int, BIO_write, (BIO *, const void *, int))                                              \
	F(void, ERR_clear_error, (void))

#define DECLARE(type, name, arguments) static type(*name) arguments;
FUNCTIONS(DECLARE)
#define HAVE(function) (function != NULL)
#endif

struct end {
	const char *name;
	SSL *ssl;
	int fd;
};

#define LAST_ERROR errno
#include "calls.h"

static SSL_CTX *client_context, *server_context;

#ifndef LINKED
static void load(const char *crypto_path, const char *ssl_path)
{
	if (!dlopen(crypto_path, RTLD_NOW | RTLD_GLOBAL))
		fail(dlerror());
	void *library = dlopen(ssl_path, RTLD_NOW | RTLD_GLOBAL);
	if (!library)
		fail(dlerror());
#define LOOK_UP(type, name, arguments) *(void **)&name = dlsym(RTLD_DEFAULT, #name);
	FUNCTIONS(LOOK_UP)
}
#endif

static void open_pair(SSL_SESSION *session)
{
	connect_locally(SOCK_STREAM);
	client.ssl = SSL_new(client_context);
	server.ssl = SSL_new(server_context);
	SSL_set_fd(client.ssl, client.fd);
	SSL_set_fd(server.ssl, server.fd);
	SSL_set_connect_state(client.ssl);
	SSL_set_accept_state(server.ssl);
	if (session)
		SSL_set_session(client.ssl, session);
}

static void close_pair(void)
{
	SSL_free(client.ssl);
	SSL_free(server.ssl);
	close(client.fd);
	close(server.fd);
	ERR_clear_error();
}

static void allow_partial_writes(SSL *ssl)
{
#ifdef LINKED
	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
#else
	/* A function in BoringSSL, a macro in OpenSSL. */
	if (SSL_set_mode)
		SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
	else
		SSL_ctrl(ssl, SSL_CTRL_MODE, SSL_MODE_ENABLE_PARTIAL_WRITE, NULL);
#endif
}

static int wants_more(SSL *ssl, int result)
{
	int error = SSL_get_error(ssl, result);

	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void handshake(void)
{
	int a, b;

	do {
		a = SSL_do_handshake(client.ssl);
		if (a != 1 && !wants_more(client.ssl, a))
			fail("client handshake");
		b = SSL_do_handshake(server.ssl);
		if (b != 1 && !wants_more(server.ssl, b))
			fail("server handshake");
	} while (a != 1 || b != 1);
}

static size_t write_plain(struct end *end, const void *data, size_t len)
{
	return sent(end, "SSL_write", data, SSL_write(end->ssl, data, (int)len));
}

static size_t write_ex(struct end *end, const void *data, size_t len)
{
	size_t moved = 12345;

	if (SSL_write_ex(end->ssl, data, len, &moved) != 1)
		return 0;
	report(end, "SSL_write_ex", "send", data, moved);
	return moved;
}

#ifndef LINKED
static size_t write_ex2(struct end *end, const void *data, size_t len)
{
	size_t moved = 12345;

	if (SSL_write_ex2(end->ssl, data, len, 0, &moved) != 1)
		return 0;
	report(end, "SSL_write_ex2", "send", data, moved);
	return moved;
}
#endif

static size_t read_plain(struct end *end, void *data, size_t len)
{
	return received(end, "SSL_read", data, SSL_read(end->ssl, data, (int)len));
}

static size_t read_ex(struct end *end, void *data, size_t len)
{
	size_t moved = 12345;

	if (SSL_read_ex(end->ssl, data, len, &moved) != 1)
		return 0;
	report(end, "SSL_read_ex", "recv", data, moved);
	return moved;
}

/* A filter that leaves the connection alone when it is freed. */
static BIO *filter(struct end *end)
{
	BIO *bio = BIO_new(BIO_f_ssl());

	if (!bio || BIO_ctrl(bio, BIO_C_SET_SSL, 0, end->ssl) != 1)
		fail("BIO_f_ssl");
	return bio;
}

static size_t write_bio(struct end *end, const void *data, size_t len)
{
	BIO *bio = filter(end);
	int moved = BIO_write(bio, data, (int)len);

	BIO_free(bio);
	return sent(end, "BIO_write", data, moved);
}

static size_t read_bio(struct end *end, void *data, size_t len)
{
	BIO *bio = filter(end);
	int moved = BIO_read(bio, data, (int)len);

	BIO_free(bio);
	return received(end, "BIO_read", data, moved);
}

/* The socket takes less than the call wants to write: retried with the same data until it is done.
 */
static void retried_write(writer *write, reader *read)
{
	const size_t len = 100000;
	char *data = text(len);
	size_t received = 0, sent;
	int retries = 0;

	do {
		sent = write(&client, data, len);
		retries += !sent;
		for (size_t moved; (moved = read(&server, buffer, sizeof(buffer)));)
			received += moved;
	} while (!sent);
	if (!retries)
		fail("the write was never refused");
	if (sent != len || received != len)
		fail("retried write");
}

/* The same if the library may return when a part is written. */
static void partial_write(writer *write, reader *read)
{
	const size_t len = 100000;
	char *data = text(len);
	size_t received = 0, sent = 0;
	int parts = 0;

	allow_partial_writes(client.ssl);
	while (sent < len) {
		size_t moved = write(&client, data + sent, len - sent);

		parts += moved > 0;
		sent += moved;
		while ((moved = read(&server, buffer, sizeof(buffer))))
			received += moved;
	}
	if (parts < 2)
		fail("the write was never partial");
	if (received != len)
		fail("partial write");
}

static void after_the_end(writer *write, reader *read)
{
	one_each_way(write, read);
	SSL_shutdown(client.ssl);
	if (read(&server, buffer, 100))
		fail("read something after close_notify");
	if (write(&client, text(10), 10))
		fail("wrote something after SSL_shutdown");
}

static void broken_record(writer *write, reader *read)
{
	one_each_way(write, read);
	if (send(client.fd, "\x17\x03\x03\x00\x20garbage garbage garbage garbage!!", 37, 0) != 37)
		fail("send");
	if (read(&server, buffer, 100))
		fail("read something from garbage");
	if (read(&server, buffer, 100))
		fail("read something after garbage");
}

static void broken_connection(writer *write, reader *read)
{
	one_each_way(write, read);
	shutdown(server.fd, SHUT_RDWR);
	if (write(&client, text(10), 10))
		fail("wrote something to a closed socket");
	if (read(&client, buffer, 10))
		fail("read something from a closed socket");
}

static void peek_first(writer *write, reader *read)
{
	size_t moved = 0;

	if (write(&client, text(500), 500) != 500)
		fail("write");
	if (SSL_peek(server.ssl, buffer, 100) != 100 || SSL_peek(server.ssl, buffer, 300) != 300)
		fail("SSL_peek");
	if (HAVE(SSL_peek_ex) &&
	    (SSL_peek_ex(server.ssl, buffer, 200, &moved) != 1 || moved != 200))
		fail("SSL_peek_ex");
	if (SSL_pending(server.ssl) != 500)
		fail("SSL_pending");
	read_all(read, &server, 200, 200);
	if (SSL_peek(server.ssl, buffer, 300) != 300)
		fail("SSL_peek");
	read_all(read, &server, 300, 300);
	if (SSL_peek(server.ssl, buffer, 300) > 0)
		fail("SSL_peek of nothing");
}

static void of_no_length(writer *write, reader *read)
{
	write(&client, "", 0);
	read(&server, buffer, 0);
	one_each_way(write, read);
}

static void the_handshake_is_done_by_the_call(writer *write, reader *read)
{
	char *data = text(64);

	close_pair();
	open_pair(NULL);
	while (!write(&client, data, 64))
		read(&server, buffer, 100);
	read_all(read, &server, 64, 64);
}

static const struct {
	const char *name;
	void (*run)(writer *, reader *);
} scenarios[] = {
    {"one_each_way", one_each_way},
    {"in_several_reads", in_several_reads},
    {"nothing_to_read_yet", nothing_to_read_yet},
    {"retried_write", retried_write},
    {"partial_write", partial_write},
    {"after_the_end", after_the_end},
    {"broken_record", broken_record},
    {"broken_connection", broken_connection},
    {"peek_first", peek_first},
    {"of_no_length", of_no_length},
    {"the_handshake_is_done_by_the_call", the_handshake_is_done_by_the_call},
};

static void run_all(const char *kind, writer *write, reader *read)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		NAME_SCENARIO("%s/%s", kind, scenarios[i].name);
		open_pair(NULL);
		handshake();
		scenarios[i].run(write, read);
		close_pair();
	}
}

/* RFC 8446, section 2.3. Needs a session of an earlier connection. */
static void early_data(void)
{
	SSL_SESSION *session;
	size_t moved = 0;
	char *answer;
	int result;

	NAME_SCENARIO("early/session");
	open_pair(NULL);
	handshake();
	one_each_way(write_plain, read_plain);
	session = SSL_get1_session(client.ssl);
	SSL_shutdown(client.ssl);
	SSL_shutdown(server.ssl);
	close_pair();

	NAME_SCENARIO("early/data");
	open_pair(session);
	for (int i = 0; i < 2; i++) {
		char *data = text(200 + i);

		if (SSL_write_early_data(client.ssl, data, 200 + i, &moved) != 1)
			fail("SSL_write_early_data");
		report(&client, "SSL_write_early_data", "send", data, moved);
	}
	result = SSL_read_early_data(server.ssl, buffer, 150, &moved);
	while (result == SSL_READ_EARLY_DATA_SUCCESS) {
		report(&server, "SSL_read_early_data", "recv", buffer, moved);
		result = SSL_read_early_data(server.ssl, buffer, 150, &moved);
	}
	if (result != SSL_READ_EARLY_DATA_ERROR || !wants_more(server.ssl, 0))
		fail("SSL_read_early_data, while the client may send more");
	/* The server may answer before the handshake is over, and the rest is as ever. */
	answer = text(50);
	if (SSL_write_early_data(server.ssl, answer, 50, &moved) != 1)
		fail("SSL_write_early_data of the server");
	report(&server, "SSL_write_early_data", "send", answer, moved);
	if (SSL_do_handshake(client.ssl) != 1)
		fail("client handshake");
	result = SSL_read_early_data(server.ssl, buffer, 150, &moved);
	if (result != SSL_READ_EARLY_DATA_FINISH || moved != 0)
		fail("the end of the early data");
	handshake();
	read_all(read_plain, &client, 50, 100);
	one_each_way(write_ex, read_ex);
	close_pair();
	SSL_SESSION_free(session);
}

int main(int argc, char **argv)
{
	if (argc != 5 && !(argc == 6 && !strcmp(argv[5], "bio")))
		fail("wrong arguments");
#ifndef LINKED
	load(argv[1], argv[2]);
#endif
	client_context = SSL_CTX_new(TLS_client_method());
	server_context = SSL_CTX_new(TLS_server_method());
	if (SSL_CTX_use_certificate_file(server_context, argv[3], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(server_context, argv[4], SSL_FILETYPE_PEM) != 1)
		fail("certificate");
	signal(SIGPIPE, SIG_IGN);
	wait_for_go_ahead();

	if (argc == 6) {
		run_all("bio", write_bio, read_bio);
		return 0;
	}
	run_all("plain", write_plain, read_plain);
	if (HAVE(SSL_write_ex) && HAVE(SSL_read_ex)) {
		run_all("ex", write_ex, read_ex);
		run_all("mixed", write_ex, read_plain);
	}
#ifndef LINKED
	if (HAVE(SSL_write_ex2))
		run_all("ex2", write_ex2, read_ex);
#endif
	if (HAVE(SSL_write_early_data)) {
		SSL_CTX_set_max_early_data(server_context, 1 << 14);
		early_data();
	}
	SSL_CTX_free(client_context);
	SSL_CTX_free(server_context);
	return 0;
}
