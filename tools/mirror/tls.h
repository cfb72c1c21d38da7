/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Credentials for TLS, in a directory as QEMU's tls-creds-x509 has it
 *
 * ca-cert.pem, and server-cert.pem and server-key.pem, or client-cert.pem and client-key.pem;
 * ca-crl.pem if there is one. Both sides show a certificate, and check the other one's.
 */

#ifndef MIRROR_TLS_H
#define MIRROR_TLS_H

#include <stdbool.h>

#include <gnutls/gnutls.h>

/**
 * struct tls - credentials
 * @credentials: of the library
 * @server: those of a server
 */
struct tls {
	gnutls_certificate_credentials_t credentials;
	bool server;
};

/* Load them; 0 or the result of fail(). */
int tls_load(struct tls *t, const char *dir, bool server);
void tls_free(struct tls *t);

/**
 * tls_handshake() - begin TLS on a connection
 * @t: loaded credentials
 * @fd: connected socket
 * @name: what the peer's certificate has to be for; NULL on the server's side
 * @session: begun, unless it fails
 * @text: why it failed
 * @len: bytes of @text
 *
 * Return: 0, or -EPERM if the peer does not pass, or -ENOTCONN if the connection failed.
 */
int tls_handshake(const struct tls *t, int fd, const char *name, gnutls_session_t *session,
		  char *text, size_t len);

#endif /* MIRROR_TLS_H */
