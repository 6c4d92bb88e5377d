/*
 * Calls each function of NSPR that moves plaintext through NSS's TLS layer, over success, error,
 * retry and partial paths, and prints what each call moved. A client and a server of one process
 * talk over loopback: NSS takes no local sockets. It also uses files, pipes and sockets that have
 * no TLS layer, of which it prints nothing.
 *
 * nss_calls CERTIFICATE KEY FILE    the first two in DER, the key as PKCS #8; FILE is what
 *                                   PR_SendFile sends
 *
 * It prints `ready`, waits for a line on standard input, and then prints for each call that moved
 * plaintext: `SCENARIO FUNCTION client|server send|recv LEN HEX`.
 */
#define _GNU_SOURCE
#include <cert.h>
#include <fcntl.h>
#include <keyhi.h>
#include <netinet/in.h>
#include <nspr.h>
#include <nss.h>
#include <pk11pub.h>
#include <private/pprio.h>
#include <secerr.h>
#include <ssl.h>
#include <sslproto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct end {
	const char *name;
	PRFileDesc *tls;
	int fd;
};

#define LAST_ERROR PR_GetError()
#include "calls.h"

static CERTCertificate *certificate;
static SECKEYPrivateKey *key;
static const char *file;

/* What a pair of ends is made with. */
struct kind {
	const char *name;
	PRUint16 version;
	int datagrams;
	int layered; /* another layer is pushed over the TLS layer, as Firefox does */
};

static const struct kind tls13 = {"tls13", SSL_LIBRARY_VERSION_TLS_1_3, 0, 0};
static const struct kind tls12 = {"tls12", SSL_LIBRARY_VERSION_TLS_1_2, 0, 0};
static const struct kind dtls = {"dtls", SSL_LIBRARY_VERSION_TLS_1_2, 1, 0};
static const struct kind layered = {"layered", SSL_LIBRARY_VERSION_TLS_1_3, 0, 1};

static PRDescIdentity own_layer;

static SECItem contents(const char *path)
{
	SECItem item = {siBuffer, malloc(1 << 16), 0};
	int fd = open(path, O_RDONLY);

	item.len = read(fd, item.data, 1 << 16);
	close(fd);
	return item;
}

static void load_certificate(const char *certificate_path, const char *key_path)
{
	SECItem der = contents(certificate_path), pkcs8 = contents(key_path);
	SECItem nickname = {siBuffer, (unsigned char *)"test", 4};
	PK11SlotInfo *slot = PK11_GetInternalKeySlot();

	certificate =
	    CERT_NewTempCertificate(CERT_GetDefaultCertDB(), &der, NULL, PR_FALSE, PR_TRUE);
	if (!certificate)
		fail("CERT_NewTempCertificate");
	if (PK11_ImportDERPrivateKeyInfoAndReturnKey(slot, &pkcs8, &nickname, NULL, PR_FALSE,
						     PR_FALSE, KU_ALL, &key, NULL))
		fail("PK11_ImportDERPrivateKeyInfoAndReturnKey");
}

static SECStatus trust(void *argument, PRFileDesc *fd, PRBool check_signature, PRBool is_server)
{
	(void)argument;
	(void)fd;
	(void)check_signature;
	(void)is_server;
	return SECSuccess;
}

static PRFileDesc *with_tls(const struct kind *kind, PRFileDesc *plain)
{
	SSLVersionRange only = {kind->version, kind->version};
	PRSocketOptionData option = {.option = PR_SockOpt_Nonblocking};
	PRFileDesc *fd;

	option.value.non_blocking = PR_TRUE;
	if (PR_SetSocketOption(plain, &option))
		fail("PR_SetSocketOption");
	fd = kind->datagrams ? DTLS_ImportFD(NULL, plain) : SSL_ImportFD(NULL, plain);
	if (!fd || SSL_OptionSet(fd, SSL_SECURITY, PR_TRUE) ||
	    SSL_OptionSet(fd, SSL_NO_CACHE, PR_TRUE) || SSL_VersionRangeSet(fd, &only))
		fail("SSL_ImportFD");
	if (kind->layered) {
		PRFileDesc *layer = PR_CreateIOLayerStub(own_layer, PR_GetDefaultIOMethods());

		if (!layer || PR_PushIOLayer(fd, PR_TOP_IO_LAYER, layer))
			fail("PR_PushIOLayer");
	}
	return fd;
}

/* A bound socket, with small buffers. */
static int bound(int type, struct sockaddr_in *address)
{
	int fd = socket(AF_INET, type, 0);
	socklen_t len = sizeof(*address);

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small_buffer, sizeof(small_buffer));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small_buffer, sizeof(small_buffer));
	*address = (struct sockaddr_in){.sin_family = AF_INET};
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)address, sizeof(*address)) ||
	    getsockname(fd, (struct sockaddr *)address, &len))
		fail("bind");
	return fd;
}

static void connected(int type, int fds[2])
{
	struct sockaddr_in first, second;
	int one = bound(type, &first), other = bound(type, &second);

	if (type == SOCK_STREAM && listen(other, 1))
		fail("listen");
	if (connect(one, (struct sockaddr *)&second, sizeof(second)))
		fail("connect");
	fds[0] = one;
	fds[1] = other;
	if (type == SOCK_STREAM) {
		fds[1] = accept(other, NULL, NULL);
		close(other);
	} else if (connect(other, (struct sockaddr *)&first, sizeof(first))) {
		fail("connect");
	}
}

static void open_pair(const struct kind *kind)
{
	int fds[2];
	PRFileDesc *plain[2];

	connected(kind->datagrams ? SOCK_DGRAM : SOCK_STREAM, fds);
	client.fd = fds[0];
	server.fd = fds[1];
	for (int i = 0; i < 2; i++) {
		plain[i] =
		    kind->datagrams ? PR_ImportUDPSocket(fds[i]) : PR_ImportTCPSocket(fds[i]);
	}
	client.tls = with_tls(kind, plain[0]);
	server.tls = with_tls(kind, plain[1]);
	if (SSL_AuthCertificateHook(client.tls, trust, NULL) || SSL_SetURL(client.tls, "localhost"))
		fail("SSL_AuthCertificateHook");
	if (SSL_ConfigServerCert(server.tls, certificate, key, NULL, 0))
		fail("SSL_ConfigServerCert");
	SSL_OptionSet(client.tls, SSL_HANDSHAKE_AS_CLIENT, PR_TRUE);
	SSL_OptionSet(server.tls, SSL_HANDSHAKE_AS_SERVER, PR_TRUE);
	if (SSL_ResetHandshake(client.tls, PR_FALSE) || SSL_ResetHandshake(server.tls, PR_TRUE))
		fail("SSL_ResetHandshake");
}

static void close_end(const struct kind *kind, PRFileDesc *fd)
{
	if (kind->layered) {
		PRFileDesc *layer = PR_PopIOLayer(fd, PR_TOP_IO_LAYER);

		if (!layer)
			fail("PR_PopIOLayer");
		layer->dtor(layer);
	}
	PR_Close(fd);
}

static void close_pair(const struct kind *kind)
{
	close_end(kind, client.tls);
	close_end(kind, server.tls);
}

static int would_block(void)
{
	return PR_GetError() == PR_WOULD_BLOCK_ERROR;
}

static void handshake(void)
{
	SECStatus a = SECFailure, b = SECFailure;

	while (a || b) {
		if (a && (a = SSL_ForceHandshake(client.tls)) && !would_block())
			fail("client handshake");
		if (b && (b = SSL_ForceHandshake(server.tls)) && !would_block())
			fail("server handshake");
	}
}

static size_t write_plain(struct end *end, const void *data, size_t len)
{
	return sent(end, "PR_Write", data, PR_Write(end->tls, data, len));
}

static size_t send_plain(struct end *end, const void *data, size_t len)
{
	return sent(end, "PR_Send", data, PR_Send(end->tls, data, len, 0, PR_INTERVAL_NO_WAIT));
}

static size_t write_vector(struct end *end, const void *data, size_t len)
{
	char *bytes = (char *)data;
	PRIOVec parts[2] = {{bytes, len / 3}, {bytes + len / 3, len - len / 3}};

	return sent(end, "PR_Writev", data, PR_Writev(end->tls, parts, 2, PR_INTERVAL_NO_WAIT));
}

static size_t read_plain(struct end *end, void *data, size_t len)
{
	return received(end, "PR_Read", data, PR_Read(end->tls, data, len));
}

static size_t recv_plain(struct end *end, void *data, size_t len)
{
	return received(end, "PR_Recv", data, PR_Recv(end->tls, data, len, 0, PR_INTERVAL_NO_WAIT));
}

/* Looks first: that moves nothing. */
static size_t recv_after_peek(struct end *end, void *data, size_t len)
{
	PRInt32 seen = PR_Recv(end->tls, data, len, PR_MSG_PEEK, PR_INTERVAL_NO_WAIT);
	size_t moved = recv_plain(end, data, len);

	if (seen > 0 && moved < (size_t)seen)
		fail("peek");
	return moved;
}

/* The socket takes less than the call wants to write; NSS keeps the last byte to itself then. */
static void partial_write(writer *write, reader *read)
{
	const size_t len = 200000;
	char *data = text(len);
	size_t got = 0, done = 0;
	int refusals = 0;

	while (done < len) {
		size_t moved = write(&client, data + done, len - done);

		refusals += moved < len - done;
		done += moved;
		while ((moved = read(&server, buffer, sizeof(buffer))))
			got += moved;
	}
	if (!refusals)
		fail("the write was never refused");
	read_all(read, &server, len - got, sizeof(buffer));
}

static void after_the_end(writer *write, reader *read)
{
	one_each_way(write, read);
	PR_Shutdown(client.tls, PR_SHUTDOWN_SEND);
	if (read(&server, buffer, 100))
		fail("read something after close_notify");
	if (write(&client, text(10), 10))
		fail("wrote something after PR_Shutdown");
}

static const struct {
	const char *name;
	void (*run)(writer *, reader *);
	int of_streams;
} scenarios[] = {
    {"one_each_way", one_each_way, 0},
    {"in_several_reads", in_several_reads, 1},
    {"nothing_to_read_yet", nothing_to_read_yet, 0},
    {"partial_write", partial_write, 1},
    {"after_the_end", after_the_end, 1},
};

static void run_all(const struct kind *kind, const char *functions, writer *write, reader *read)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (scenarios[i].of_streams && kind->datagrams)
			continue;
		if (scenarios[i].run == partial_write && write == write_vector)
			continue; /* it may report less than it sent */
		NAME_SCENARIO("%s/%s/%s", kind->name, functions, scenarios[i].name);
		open_pair(kind);
		handshake();
		scenarios[i].run(write, read);
		close_pair(kind);
	}
}

/* NSPR maps the file and sends from there. */
static void send_file(const struct kind *kind)
{
	const size_t first = 8192;
	PRSendFileData what = {0};
	SECItem bytes = contents(file);
	char *all = malloc(bytes.len + 6);
	PRInt32 moved;

	NAME_SCENARIO("%s/send_file", kind->name);
	open_pair(kind);
	handshake();
	what.fd = PR_Open(file, PR_RDONLY, 0);
	what.header = "header";
	what.hlen = 6;
	what.trailer = "trailer";
	what.tlen = 7;
	moved = PR_SendFile(client.tls, &what, PR_TRANSMITFILE_KEEP_OPEN, PR_SecondsToInterval(5));
	if (moved != (PRInt32)bytes.len + 13)
		fail("PR_SendFile");
	/* So it divides what it sends. */
	memcpy(all, "header", 6);
	memcpy(all + 6, bytes.data, bytes.len);
	report(&client, "PR_SendFile", "send", all, first);
	report(&client, "PR_SendFile", "send", all + first, bytes.len + 6 - first);
	report(&client, "PR_SendFile", "send", "trailer", 7);
	PR_Close(what.fd);
	while (read_plain(&server, buffer, sizeof(buffer)))
		;
	close_pair(kind);
	free(bytes.data);
	free(all);
}

/* The same functions where there is no TLS. */
static void without_tls(void)
{
	PRFileDesc *fd, *pipe[2], *sockets[2];

	NAME_SCENARIO("plain");
	fd = PR_Open(file, PR_RDONLY, 0);
	if (PR_Read(fd, buffer, 1000) != 1000)
		fail("PR_Read");
	PR_Close(fd);
	fd = PR_Open("/dev/null", PR_WRONLY, 0);
	if (PR_Write(fd, text(1000), 1000) != 1000)
		fail("PR_Write");
	PR_Close(fd);
	if (PR_CreatePipe(&pipe[0], &pipe[1]) || PR_Write(pipe[1], text(1000), 1000) != 1000 ||
	    PR_Read(pipe[0], buffer, 1000) != 1000)
		fail("PR_CreatePipe");
	PR_Close(pipe[0]);
	PR_Close(pipe[1]);
	if (PR_NewTCPSocketPair(sockets) ||
	    PR_Send(sockets[0], text(1000), 1000, 0, PR_INTERVAL_NO_TIMEOUT) != 1000 ||
	    PR_Recv(sockets[1], buffer, 1000, 0, PR_INTERVAL_NO_TIMEOUT) != 1000)
		fail("PR_NewTCPSocketPair");
	PR_Close(sockets[0]);
	PR_Close(sockets[1]);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		fail("wrong arguments");
	PR_Init(PR_USER_THREAD, PR_PRIORITY_NORMAL, 0);
	if (NSS_NoDB_Init(NULL))
		fail("NSS_NoDB_Init");
	if (NSS_SetDomesticPolicy())
		fail("NSS_SetDomesticPolicy");
	load_certificate(argv[1], argv[2]);
	file = argv[3];
	own_layer = PR_GetUniqueIdentity("own");
	wait_for_go_ahead();

	without_tls();
	for (int i = 0; i < 3; i++) {
		const struct kind *kind = i == 0 ? &tls13 : i == 1 ? &tls12 : &layered;

		run_all(kind, "write", write_plain, read_plain);
		run_all(kind, "send", send_plain, recv_plain);
		run_all(kind, "vector", write_vector, read_plain);
		run_all(kind, "peek", send_plain, recv_after_peek);
		send_file(kind);
	}
	run_all(&dtls, "write", write_plain, recv_plain);
	without_tls();
	return 0;
}
