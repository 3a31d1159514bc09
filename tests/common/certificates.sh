#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Certificates for tests, into the current folder: certificates.sh NAME:ROLE ...
# ca.pem signs NAME.pem (CN=NAME, OU=ROLE), whose key is NAME.key; a host's is for 127.0.0.1 and localhost.
set -eu
exec 2>/dev/null
[ -f ca.pem ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 30 \
	-keyout ca.key -out ca.pem -subj "/CN=${CA:-test}"
for pair; do
	name=${pair%%:*} role=${pair#*:}
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout "$name.key" -out "$name.csr" -subj "/CN=$name/OU=$role"
	case $role in
	host) echo 'subjectAltName=IP:127.0.0.1,DNS:localhost' ;;
	*) echo 'extendedKeyUsage=clientAuth' ;;
	esac >"$name.ext"
	openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "${DAYS:-30}" -extfile "$name.ext" -out "$name.pem"
done
