/*
 * Handshakes between a client and a server of one process, and the key log that the library writes
 * of each: of versions without one, the lines that it would write.
 *
 * keys LIBCRYPTO LIBSSL CERTIFICATE KEY    with the libraries at these paths
 * keys - - CERTIFICATE KEY                 if compiled with -DLINKED: with those it is linked to
 *
 * It prints `ready`, waits for a line on standard input, and then prints `END LINE` for each line
 * of the key log of the `client` or the `server`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Only what is used here, so that one executable runs with every version of the library. */
typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_session_st SSL_SESSION;
typedef struct ec_key_st EC_KEY;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef void log_line(const SSL *, const char *);
typedef void message(int, int, int, const void *, size_t, SSL *, void *);

#define SSL_ERROR_WANT_READ 2
#define SSL_ERROR_WANT_WRITE 3
#define SSL_FILETYPE_PEM 1
#define SSL_CTRL_GET_SESSION_REUSED 8
#define SSL_CTRL_SET_TMP_ECDH 4
#define NID_P256 415
#define SSL_CTRL_SET_MIN_PROTO_VERSION 123
#define SSL_CTRL_SET_MAX_PROTO_VERSION 124
#define TLS1_2 0x0303
#define TLS1_3 0x0304

#define FUNCTIONS(F)                                                                               \
	F(int, SSL_library_init, (void))                                                           \
	F(const SSL_METHOD *, TLS_client_method, (void))                                           \
	F(const SSL_METHOD *, TLS_server_method, (void))                                           \
	F(const SSL_METHOD *, SSLv23_client_method, (void))                                        \
	F(const SSL_METHOD *, SSLv23_server_method, (void))                                        \
	F(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                            \
	F(void, SSL_CTX_free, (SSL_CTX *))                                                         \
	F(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *))                                      \
	F(int, SSL_CTX_set_min_proto_version, (SSL_CTX *, unsigned short))                         \
	F(int, SSL_CTX_set_max_proto_version, (SSL_CTX *, unsigned short))                         \
	F(int, SSL_CTX_use_certificate_file, (SSL_CTX *, const char *, int))                       \
	F(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *, const char *, int))                        \
	F(void, SSL_CTX_set_keylog_callback, (SSL_CTX *, log_line *))                              \
	F(void, SSL_CTX_set_msg_callback, (SSL_CTX *, message *))                                  \
	F(EC_KEY *, EC_KEY_new_by_curve_name, (int))                                               \
	F(SSL *, SSL_new, (SSL_CTX *))                                                             \
	F(void, SSL_free, (SSL *))                                                                 \
	F(int, SSL_set_fd, (SSL *, int))                                                           \
	F(void, SSL_set_connect_state, (SSL *))                                                    \
	F(void, SSL_set_accept_state, (SSL *))                                                     \
	F(int, SSL_do_handshake, (SSL *))                                                          \
	F(int, SSL_version, (const SSL *))                                                         \
	F(long, SSL_ctrl, (SSL *, int, long, void *))                                              \
	F(int, SSL_session_reused, (const SSL *))                                                  \
	F(int, SSL_shutdown, (SSL *))                                                              \
	F(int, SSL_get_error, (const SSL *, int))                                                  \
	F(int, SSL_read, (SSL *, void *, int))                                                     \
	F(int, SSL_write, (SSL *, const void *, int))                                              \
	F(SSL_SESSION *, SSL_get_session, (const SSL *))                                           \
	F(SSL_SESSION *, SSL_get1_session, (SSL *))                                                \
	F(int, SSL_set_session, (SSL *, SSL_SESSION *))                                            \
	F(void, SSL_SESSION_free, (SSL_SESSION *))                                                 \
	F(size_t, SSL_get_client_random, (const SSL *, unsigned char *, size_t))                   \
	F(size_t, SSL_SESSION_get_master_key, (const SSL_SESSION *, unsigned char *, size_t))      \
	F(int, SSL_SESSION_print, (BIO *, const SSL_SESSION *))                                    \
	F(const BIO_METHOD *, BIO_s_mem, (void))                                                   \
	F(BIO *, BIO_new, (const BIO_METHOD *))                                                    \
	F(int, BIO_read, (BIO *, void *, int))                                                     \
	F(int, BIO_free, (BIO *))

#ifdef LINKED
/* What a version lacks is NULL in either case. */
#define DECLARE(type, name, arguments) extern type name arguments __attribute__((weak));
#else
#define DECLARE(type, name, arguments) static type(*name) arguments;
#endif
FUNCTIONS(DECLARE)

static void fail(const char *what)
{
	fprintf(stderr, "keys: %s\n", what);
	exit(1);
}

#ifndef LINKED
static void load(const char *crypto_path, const char *ssl_path)
{
	if (!dlopen(crypto_path, RTLD_NOW | RTLD_GLOBAL) ||
	    !dlopen(ssl_path, RTLD_NOW | RTLD_GLOBAL))
		fail(dlerror());
#define LOOK_UP(type, name, arguments) *(void **)&name = dlsym(RTLD_DEFAULT, #name);
	FUNCTIONS(LOOK_UP)
}
#endif

static void client_line(const SSL *ssl, const char *line)
{
	(void)ssl;
	printf("client %s\n", line);
}

static void server_line(const SSL *ssl, const char *line)
{
	(void)ssl;
	printf("server %s\n", line);
}

static void print_hex(const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", bytes[i]);
}

/* OpenSSL before 1.1.0 and its first fork: no accessors, but it prints sessions, and shows the
 * messages of a handshake. */
static unsigned char shown_random[32];

static void show_random(int write, int version, int type, const void *data, size_t len, SSL *ssl,
			void *argument)
{
	const unsigned char *bytes = data;

	(void)write, (void)version, (void)ssl, (void)argument;
	/* A handshake message: a ClientHello, whose random is behind its length and version. */
	if (type == 22 && len >= 6 + sizeof(shown_random) && bytes[0] == 1)
		memcpy(shown_random, bytes + 6, sizeof(shown_random));
}

static size_t printed_master_key(const SSL *ssl, unsigned char *key)
{
	static const char name[] = "Master-Key: ";
	static char text[1 << 16];
	BIO *bio = BIO_new(BIO_s_mem());
	size_t len = 0;
	int read;
	char *at;

	if (SSL_SESSION_print(bio, SSL_get_session(ssl)) != 1)
		fail("SSL_SESSION_print");
	read = BIO_read(bio, text, sizeof(text) - 1);
	BIO_free(bio);
	if (read <= 0)
		fail("BIO_read");
	text[read] = 0;
	at = strstr(text, name);
	if (!at)
		fail("no master key was printed");
	at += strlen(name);
	while (len < 48 && sscanf(at + 2 * len, "%2hhx", key + len) == 1)
		len++;
	return len;
}

/* For libraries without a key log. */
static void print_master_key(const char *end, const SSL *ssl)
{
	unsigned char random[32], key[64];
	size_t len;

	if (SSL_SESSION_get_master_key) {
		len = SSL_SESSION_get_master_key(SSL_get_session(ssl), key, sizeof(key));
		if (SSL_get_client_random(ssl, random, sizeof(random)) != sizeof(random))
			fail("no client random");
	} else {
		len = printed_master_key(ssl, key);
		memcpy(random, shown_random, sizeof(random));
	}
	if (!len)
		fail("no master key");
	printf("%s CLIENT_RANDOM ", end);
	print_hex(random, sizeof(random));
	printf(" ");
	print_hex(key, len);
	printf("\n");
}

static void only(SSL_CTX *context, int version)
{
	/* Functions in BoringSSL, macros in OpenSSL. */
	if (SSL_CTX_set_min_proto_version) {
		SSL_CTX_set_min_proto_version(context, version);
		SSL_CTX_set_max_proto_version(context, version);
	} else {
		SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, version, NULL);
		SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, version, NULL);
	}
}

static int wants_more(SSL *ssl, int result)
{
	int error = SSL_get_error(ssl, result);

	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* One connection; the session that it leaves. */
static SSL_SESSION *connection(SSL_CTX *client_context, SSL_CTX *server_context, int version,
			       SSL_SESSION *session)
{
	SSL *client = SSL_new(client_context), *server = SSL_new(server_context);
	int fds[2], a, b;
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
		fail("socketpair");
	SSL_set_fd(client, fds[0]);
	SSL_set_fd(server, fds[1]);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	if (session)
		SSL_set_session(client, session);
	do {
		a = SSL_do_handshake(client);
		if (a != 1 && !wants_more(client, a))
			fail("client handshake");
		b = SSL_do_handshake(server);
		if (b != 1 && !wants_more(server, b))
			fail("server handshake");
	} while (a != 1 || b != 1);
	if (SSL_version(client) != version || SSL_version(server) != version)
		fail("another version");
	if (session &&
	    !(SSL_session_reused ? SSL_session_reused(client)
				 : SSL_ctrl(client, SSL_CTRL_GET_SESSION_REUSED, 0, NULL)))
		fail("the session was not resumed");
	/* The tickets of TLS 1.3 come with the first data. */
	if (SSL_write(server, "x", 1) != 1 || SSL_read(client, &byte, 1) != 1)
		fail("data");
	/* It has succeeded already, and succeeds again. */
	if (SSL_do_handshake(client) != 1)
		fail("second handshake call");
	if (!SSL_CTX_set_keylog_callback) {
		print_master_key("client", client);
		print_master_key("server", server);
	}
	session = SSL_get1_session(client);
	/* OpenSSL resumes no session of a connection that was broken off. */
	SSL_shutdown(client);
	SSL_shutdown(server);
	SSL_free(client);
	SSL_free(server);
	close(fds[0]);
	close(fds[1]);
	return session;
}

static void all_of(int version, const char *certificate, const char *key)
{
	SSL_CTX *client, *server;
	SSL_SESSION *session, *resumed;

	if (TLS_client_method) {
		client = SSL_CTX_new(TLS_client_method());
		server = SSL_CTX_new(TLS_server_method());
	} else {
		client = SSL_CTX_new(SSLv23_client_method());
		server = SSL_CTX_new(SSLv23_server_method());
		/* They choose no curve by themselves. */
		SSL_CTX_ctrl(server, SSL_CTRL_SET_TMP_ECDH, 0, EC_KEY_new_by_curve_name(NID_P256));
		SSL_CTX_set_msg_callback(server, show_random);
	}

	if (SSL_CTX_use_certificate_file(server, certificate, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(server, key, SSL_FILETYPE_PEM) != 1)
		fail("certificate");
	only(client, version);
	only(server, version);
	if (SSL_CTX_set_keylog_callback) {
		SSL_CTX_set_keylog_callback(client, client_line);
		SSL_CTX_set_keylog_callback(server, server_line);
	}
	session = connection(client, server, version, NULL);
	/* BoringSSL hands out sessions of TLS 1.3 in another way. */
	resumed = version == TLS1_2 ? session : NULL;
	SSL_SESSION_free(connection(client, server, version, resumed));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

int main(int argc, char **argv)
{
	char line[10];

	if (argc != 5)
		fail("wrong arguments");
#ifndef LINKED
	load(argv[1], argv[2]);
#endif
	if (!TLS_client_method)
		SSL_library_init();
	signal(SIGPIPE, SIG_IGN);
	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		fail("no go-ahead");
	all_of(TLS1_2, argv[3], argv[4]);
	/* TLS 1.3 and the key log came with the same release. */
	if (SSL_CTX_set_keylog_callback)
		all_of(TLS1_3, argv[3], argv[4]);
	return 0;
}
