// SPDX-License-Identifier: GPL-2.0-only
/*
 * Credentials for TLS, and the handshake.
 */

#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "report.h"
#include "tls.h"

#define TLS_PATH_MAX	1024

static int no_file(const char *path, int ret)
{
	return fail(MIRROR_USAGE, "%s: %s", path, gnutls_strerror(ret));
}

static int load_ca(struct tls *t, const char *dir)
{
	char path[TLS_PATH_MAX];
	int ret;

	snprintf(path, sizeof(path), "%s/ca-cert.pem", dir);
	ret = gnutls_certificate_set_x509_trust_file(t->credentials, path, GNUTLS_X509_FMT_PEM);
	if (ret <= 0)
		return no_file(path, ret ?: GNUTLS_E_NO_CERTIFICATE_FOUND);

	snprintf(path, sizeof(path), "%s/ca-crl.pem", dir);
	if (access(path, F_OK))
		return 0;
	ret = gnutls_certificate_set_x509_crl_file(t->credentials, path, GNUTLS_X509_FMT_PEM);
	return ret < 0 ? no_file(path, ret) : 0;
}

static int load_own(struct tls *t, const char *dir)
{
	const char *side = t->server ? "server" : "client";
	char cert[TLS_PATH_MAX], key[TLS_PATH_MAX];
	int ret;

	snprintf(cert, sizeof(cert), "%s/%s-cert.pem", dir, side);
	snprintf(key, sizeof(key), "%s/%s-key.pem", dir, side);
	ret = gnutls_certificate_set_x509_key_file(t->credentials, cert, key, GNUTLS_X509_FMT_PEM);
	return ret < 0 ? no_file(cert, ret) : 0;
}

int tls_load(struct tls *t, const char *dir, bool server)
{
	int ret = gnutls_certificate_allocate_credentials(&t->credentials);

	if (ret < 0)
		return fail(MIRROR_FAILED, "TLS: %s", gnutls_strerror(ret));
	t->server = server;
	ret = load_ca(t, dir);
	return ret ?: load_own(t, dir);
}

void tls_free(struct tls *t)
{
	if (t->credentials)
		gnutls_certificate_free_credentials(t->credentials);
	t->credentials = NULL;
}

static int new_session(const struct tls *t, int fd, const char *name, gnutls_session_t *session)
{
	gnutls_session_t s;
	int ret = gnutls_init(&s, t->server ? GNUTLS_SERVER : GNUTLS_CLIENT);

	if (ret < 0)
		return ret;
	ret = gnutls_set_default_priority(s);
	if (ret >= 0)
		ret = gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->credentials);
	if (ret < 0) {
		gnutls_deinit(s);
		return ret;
	}

	if (t->server)
		gnutls_certificate_server_set_request(s, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_cert(s, name, 0);
	gnutls_transport_set_int(s, fd);
	*session = s;
	return 0;
}

/* Whether it is the peer, and not the connection, that failed */
static bool is_peer(int ret)
{
	return ret != GNUTLS_E_PUSH_ERROR && ret != GNUTLS_E_PULL_ERROR &&
	       ret != GNUTLS_E_PREMATURE_TERMINATION && ret != GNUTLS_E_AGAIN &&
	       ret != GNUTLS_E_INTERRUPTED;
}

static void describe(gnutls_session_t s, int ret, char *text, size_t len)
{
	unsigned int status = gnutls_session_get_verify_cert_status(s);
	gnutls_datum_t d;

	if (ret == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR &&
	    gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &d, 0) >= 0) {
		snprintf(text, len, "%s", d.data);
		gnutls_free(d.data);
	} else if (ret == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		snprintf(text, len, "the peer says: %s",
			 gnutls_alert_get_name(gnutls_alert_get(s)));
	} else {
		snprintf(text, len, "%s", gnutls_strerror(ret));
	}
}

int tls_handshake(const struct tls *t, int fd, const char *name, gnutls_session_t *session,
		  char *text, size_t len)
{
	gnutls_session_t s = NULL;
	int ret = new_session(t, fd, name, &s);

	if (ret < 0) {
		snprintf(text, len, "%s", gnutls_strerror(ret));
		return -EPERM;
	}

	do {
		ret = gnutls_handshake(s);
	} while (ret < 0 && ret != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(ret));
	if (ret < 0) {
		describe(s, ret, text, len);
		gnutls_alert_send_appropriate(s, ret);
		gnutls_deinit(s);
		return is_peer(ret) ? -EPERM : -ENOTCONN;
	}
	*session = s;
	return 0;
}
