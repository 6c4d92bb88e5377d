/*
 * Sends a file by SSL_sendfile, whole and in parts, with text before, between and behind, to a
 * child process that reads everything. For kernels with TLS of their own (the module `tls`),
 * without which SSL_sendfile refuses.
 *
 * sendfile LIBCRYPTO LIBSSL CERTIFICATE KEY FILE RECEIVED
 *
 * It prints `ready`, waits for a line on standard input, and then prints for each call that sent
 * something: `write|sendfile LEN`. The child writes what it read to RECEIVED. `child PID` names it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct bio_st BIO;

#define SSL_FILETYPE_PEM 1
#define SSL_OP_ENABLE_KTLS 8
#define BIO_CTRL_GET_KTLS_SEND 73

#define FUNCTIONS(F)                                                                               \
	F(const SSL_METHOD *, TLS_client_method, (void))                                           \
	F(const SSL_METHOD *, TLS_server_method, (void))                                           \
	F(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                            \
	F(unsigned long, SSL_CTX_set_options, (SSL_CTX *, unsigned long))                          \
	F(int, SSL_CTX_use_certificate_file, (SSL_CTX *, const char *, int))                       \
	F(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *, const char *, int))                        \
	F(SSL *, SSL_new, (SSL_CTX *))                                                             \
	F(void, SSL_free, (SSL *))                                                                 \
	F(int, SSL_set_fd, (SSL *, int))                                                           \
	F(BIO *, SSL_get_wbio, (const SSL *))                                                      \
	F(long, BIO_ctrl, (BIO *, int, long, void *))                                              \
	F(int, SSL_connect, (SSL *))                                                               \
	F(int, SSL_accept, (SSL *))                                                                \
	F(int, SSL_shutdown, (SSL *))                                                              \
	F(int, SSL_read, (SSL *, void *, int))                                                     \
	F(int, SSL_write, (SSL *, const void *, int))                                              \
	F(ssize_t, SSL_sendfile, (SSL *, int, off_t, size_t, int))

#define DECLARE(type, name, arguments) static type(*name) arguments;
FUNCTIONS(DECLARE)

static void fail(const char *what)
{
	fprintf(stderr, "sendfile: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void load(const char *crypto_path, const char *ssl_path)
{
	if (!dlopen(crypto_path, RTLD_NOW | RTLD_GLOBAL) ||
	    !dlopen(ssl_path, RTLD_NOW | RTLD_GLOBAL))
		fail(dlerror());
#define LOOK_UP(type, name, arguments)                                                             \
	if (!(*(void **)&name = dlsym(RTLD_DEFAULT, #name)))                                       \
		fail(#name);
	FUNCTIONS(LOOK_UP)
}

static void receive(int fd, const char *path)
{
	static char buffer[50000];
	FILE *out = fopen(path, "w");
	SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
	int len;

	SSL_set_fd(ssl, fd);
	if (!out || SSL_connect(ssl) != 1)
		fail("SSL_connect");
	while ((len = SSL_read(ssl, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, len, out);
	if (fclose(out))
		fail(path);
	SSL_free(ssl);
	exit(0);
}

static void say(SSL *ssl, const char *text)
{
	if (SSL_write(ssl, text, (int)strlen(text)) != (int)strlen(text))
		fail("SSL_write");
	printf("write %zu\n", strlen(text));
}

/* Sends a part of the file; gives back in how many calls. */
static int send_part(SSL *ssl, int socket, int file, off_t from, size_t len)
{
	struct pollfd writable = {.fd = socket, .events = POLLOUT};
	int calls = 0;

	while (len) {
		ssize_t sent = SSL_sendfile(ssl, file, from, len, 0);

		if (sent < 0) {
			if (errno != EAGAIN)
				fail("SSL_sendfile");
			poll(&writable, 1, -1);
			continue;
		}
		printf("sendfile %zd\n", sent);
		calls++;
		from += sent;
		len -= sent;
	}
	return calls;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t address_len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), small = 30000, file, fd, status;
	const size_t whole = 100000;
	struct stat stat;
	char line[10];
	SSL_CTX *context;
	pid_t child;
	SSL *ssl;

	if (argc != 7)
		fail("wrong arguments");
	load(argv[1], argv[2]);
	file = open(argv[5], O_RDONLY);
	if (file < 0 || fstat(file, &stat) || (size_t)stat.st_size <= whole)
		fail(argv[5]);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &address_len))
		fail("listen");
	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		fail("no go-ahead");

	child = fork();
	if (!child) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
			fail("connect");
		receive(fd, argv[6]);
	}
	printf("child %d\n", child);
	fd = accept(listener, NULL, NULL);
	context = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
	if (SSL_CTX_use_certificate_file(context, argv[3], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, argv[4], SSL_FILETYPE_PEM) != 1)
		fail("certificate");
	ssl = SSL_new(context);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) != 1)
		fail("SSL_accept");
	if (!BIO_ctrl(SSL_get_wbio(ssl), BIO_CTRL_GET_KTLS_SEND, 0, NULL))
		fail("the kernel does not send TLS by itself");

	say(ssl, "before");
	if (send_part(ssl, fd, file, 0, whole) != 1)
		fail("the first part was not sent at once");
	say(ssl, "between");
	if (SSL_sendfile(ssl, -1, 0, 10, 0) != -1)
		fail("sent what is no file");
	/* From here on it takes only what fits. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (send_part(ssl, fd, file, whole, stat.st_size - whole) < 2)
		fail("no call sent only a part");
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	say(ssl, "behind");
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
	if (waitpid(child, &status, 0) != child || status)
		fail("the child");
	return 0;
}
