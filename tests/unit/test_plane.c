/* SPDX-License-Identifier: Apache-2.0 */
/* The plane as a whole. */

/* Two seconds after it is made, a third of the life is left of a certificate that began five
 * minutes before (ca.h, CA_SKEW). */
#define CERTIFICATE_LIFE "153"

#include "plane_harness.h"

static void an_enrolled_host_is_used(void **state)
{
	(void)state;
	await_host("unattested");
	assert_int_equal(ADMIN("GET", "/v1/hosts", ""), 0);
	assert_int_equal(sh("echo '%s' | jq -e '.items[0].status | .instances_most == 64 and "
			    ".signer == \"development\" and has(\"attestation_key\") == false'",
			    output),
			 0);
	assert_int_equal(ADMIN("GET", "/v1/hosts/h1/evidence", ""), 0);
	assert_true(says("karuta events 1"));
	/* The token was good once. */
	assert_int_equal(ADMIN("GET", "/v1/hosts/h1", ""), 0);
	assert_false(says("karuta-enrol-"));
}

static void a_certificate_is_renewed_in_time(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SECONDS * 10; i++) {
		if (ADMIN("GET", "/v1/events", "") == 0 && says("it has a new certificate"))
			break;
		usleep(100000);
	}
	assert_true(says("\"renewed\""));
	assert_int_equal(ADMIN("GET", "/v1/hosts/h1", ""), 0);
	/* What is served with, and what is known of it, is one and the same, and is another. */
	assert_int_equal(
		sh("echo '%s' | jq -r .status.certificate.serial >known; echo | openssl s_client "
		   "-connect 127.0.0.1:%d -alpn karuta/1 -CAfile plane/ca.pem 2>/dev/null | "
		   "openssl "
		   "x509 -noout -serial | tr A-F a-f | sed 's/serial=//' | cmp - known && "
		   "openssl verify -CAfile plane/ca.pem host.pem && ! cmp -s host.pem "
		   "etc/host.pem && ! cmp -s host.key etc/host.key",
		   output, port),
		0);
	await_host("unattested");
}

static void requests_are_carried_out_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ADMIN("POST", "/v1/hosts",
				       "-H 'Idempotency-Key: k1' " BODY(
					       "{\"name\": \"h2\", \"address\": \"192.0.2.1\"}")),
				 0);
		assert_true(says("\"h2\"") && says("karuta-enrol-") == (i == 0));
	}
	assert_int_equal(ADMIN("POST", "/v1/hosts",
			       "-H 'Idempotency-Key: k1' " BODY(
				       "{\"name\": \"h3\", \"address\": \"192.0.2.1\"}")),
			 22);
	assert_true(says("other-request"));
	assert_int_equal(
		ADMIN("POST", "/v1/hosts", BODY("{\"name\": \"h2\", \"address\": \"192.0.2.1\"}")),
		22);
	assert_true(says("there is a host h2 already"));
	assert_int_equal(ADMIN("DELETE", "/v1/hosts/h2", "-H 'If-Match: \"1\"'"), 22);
	assert_true(says("it has changed since"));
	assert_int_equal(ADMIN("DELETE", "/v1/hosts/h2", ""), 0);
	assert_int_equal(ADMIN("GET", "/v1/hosts/h2", ""), 22);
	assert_true(says("there is no host h2"));
}

static void what_makes_no_sense_is_named(void **state)
{
	(void)state;
	assert_int_equal(ADMIN("POST", "/v1/hosts", BODY("{\"name\": \"h4\"}")), 22);
	assert_true(says("address"));
	assert_int_equal(ADMIN("POST", "/v1/hosts",
			       BODY("{\"name\": \"h4\", \"address\": \"h4.example.org\"}")),
			 22);
	assert_true(says("give numbers"));
	assert_int_equal(
		ADMIN("POST", "/v1/hosts", BODY("{\"name\": \"H 4\", \"address\": \"::1\"}")), 22);
	assert_int_equal(ADMIN("POST", "/v1/hosts",
			       BODY("{\"name\": \"h4\", \"address\": \"::1\", \"root\": true}")),
			 22);
	assert_true(says("root"));
	assert_int_equal(ADMIN("GET", "/v1/hosts?limit=0", ""), 22);
	assert_int_equal(ADMIN("GET", "/v1/nothing", ""), 22);
}

static void who_may_not_is_refused(void **state)
{
	(void)state;
	assert_int_equal(API("karuta_no", "GET", "/v1/hosts", ""), 22);
	assert_int_equal(sh("curl -sS --cacert plane/ca.pem -o /dev/null -w '%%{http_code}' "
			    "https://127.0.0.1:%d/v1/hosts",
			    plane_port),
			 0);
	assert_true(says("401"));
	assert_int_equal(
		ADMIN("POST", "/v1/tokens", BODY("{\"name\": \"ann\", \"role\": \"reader\"}")), 0);
	assert_int_equal(
		sh("echo '%s' | jq -r .token >ann; echo '%s' | jq -r .id >ann.id", output, output),
		0);
	assert_int_equal(API("$(cat ann)", "GET", "/v1/hosts", ""), 0);
	assert_int_equal(API("$(cat ann)", "DELETE", "/v1/hosts/h1", ""), 22);
	assert_true(says("403") || says("admin"));
	assert_int_equal(ADMIN("GET", "/v1/tokens", ""), 0);
	assert_true(says("\"ann\"") && !says("sha256"));
	assert_int_equal(
		sh("echo '%s' | jq -e --arg id $(cat ann.id) '.items[] | select(.id == $id) | "
		   ".name == \"ann\"'",
		   output),
		0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ADMIN("POST", "/v1/tokens",
				       "-H 'Idempotency-Key: t1' " BODY(
					       "{\"name\": \"bob\", \"role\": \"reader\"}")),
				 0);
		assert_true(says("karuta_") == (i == 0) && says("bob") && !says("sha256"));
	}
	assert_int_equal(ADMIN("DELETE", "/v1/tokens/$(cat ann.id)", ""), 0);
	assert_int_equal(API("$(cat ann)", "GET", "/v1/hosts", ""), 22);
	assert_int_equal(ADMIN("GET", "/v1/events", ""), 0);
	assert_true(says("a token was made for ann, who is reader") &&
		    says("a token of ann was deleted"));
}

#define CERTIFIED(path)                                                                            \
	sh("curl -sS --fail-with-body --cacert plane/ca.pem --cert bob.pem --key bob.key "         \
	   "https://127.0.0.1:%d" path " 2>&1",                                                    \
	   plane_port)

static void a_certificate_lets_in_until_it_is_taken_back(void **state)
{
	(void)state;
	assert_int_equal(sh("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes "
			    "-keyout bob.key -subj /CN=eve/OU=plane-admin 2>/dev/null | jq -Rs "
			    "'{name: \"bob\", role: \"reader\", request: .}' >bob.json"),
			 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ADMIN("POST", "/v1/certificates",
				       "-H 'Content-Type: application/json' -H "
				       "'Idempotency-Key: c1' -d @bob.json"),
				 0);
		assert_int_equal(sh("printf %%s '%s' | jq -r .id >>bob.ids", output), 0);
	}
	assert_int_equal(sh("[ $(sort -u bob.ids | wc -l) = 1 ]"), 0);
	assert_int_equal(ADMIN("POST", "/v1/certificates",
			       "-H 'Content-Type: application/json' -d @bob.json"),
			 0);
	assert_int_equal(
		sh("printf %%s '%s' >made; jq -r .certificate made >bob.pem; jq -r .id made "
		   ">bob.id; openssl x509 -in bob.pem -noout -subject -nameopt compat",
		   output),
		0);
	assert_true(says("/CN=bob/OU=plane-reader"));
	assert_int_equal(CERTIFIED("/v1/hosts"), 0);
	assert_int_equal(CERTIFIED("/v1/tokens"), 22);
	assert_true(says("403"));
	/* Hosts hang up on it: what they are called with is another kind. */
	assert_int_not_equal(sh("timeout 20 ./karuta-controller call 127.0.0.1:%d list --ca "
				"plane/ca.pem --cert bob.pem --key bob.key 2>&1",
				port),
			     0);
	assert_true(says("unexpected eof"));
	assert_int_equal(ADMIN("GET", "/v1/certificates", ""), 0);
	assert_true(says("\"bob\""));
	assert_int_equal(ADMIN("DELETE", "/v1/certificates/$(cat bob.id)", ""), 0);
	assert_int_equal(CERTIFIED("/v1/hosts"), 22);
	assert_true(says("taken back"));
	/* What was made by a request that is sent again after that. */
	assert_int_equal(ADMIN("DELETE", "/v1/certificates/$(head -n 1 bob.ids)", ""), 0);
	assert_int_equal(ADMIN("GET", "/v1/certificates", ""), 0);
	assert_false(says("\"bob\""));
	assert_int_equal(ADMIN("POST", "/v1/certificates",
			       "-H 'Content-Type: application/json' -H 'Idempotency-Key: c1' -d "
			       "@bob.json"),
			 22);
	assert_true(says("410") && says("deleted since"));
}

static void a_request_for_a_certificate_that_is_none_is_refused(void **state)
{
	(void)state;
	assert_int_equal(ADMIN("POST", "/v1/certificates",
			       BODY("{\"name\": \"bob\", \"role\": \"reader\", \"request\": "
				    "\"-----BEGIN CERTIFICATE REQUEST-----\\nAAAA\\n\"}")),
			 22);
	assert_true(says("422") && says("not a request for a certificate"));
	assert_int_equal(ADMIN("POST", "/v1/certificates",
			       BODY("{\"name\": \"bob\", \"role\": \"root\", \"request\": \"\"}")),
			 22);
	assert_true(says("422") && says("role"));
	assert_int_equal(
		ADMIN("POST", "/v1/certificates",
		      BODY("{\"name\": \"bob@home\", \"role\": \"reader\", \"request\": \"\"}")),
		22);
	assert_true(says("422") && says("name"));
}

static void what_a_host_tells_is_passed_on(void **state)
{
	(void)state;
	await_host("unattested");
	assert_int_equal(ADMIN("GET", "/v1/hosts/h1/instances", ""), 0);
	assert_int_equal(sh("echo '%s' | jq -e '.instances == []'", output), 0);
	assert_int_equal(ADMIN("GET", "/v1/hosts/h1/audit?since=1", ""), 0);
	assert_int_equal(sh("echo '%s' | jq -e '.lines | length > 0'", output), 0);
	assert_int_equal(ADMIN("GET", "/v1/hosts/h1/audit?since=x", ""), 22);
	assert_true(says("since"));
	assert_int_equal(ADMIN("GET", "/v1/hosts/none/instances", ""), 22);
	assert_true(says("404"));
}

static void a_host_is_updated(void **state)
{
	(void)state;
	await_host("unattested");
	assert_int_equal(ADMIN("POST", "/v1/hosts/h1/update", BODY("{\"part\": \"controller\"}")),
			 0);
	assert_int_equal(ADMIN("POST", "/v1/hosts/h1/update", BODY("{}")), 0);
	assert_int_equal(ADMIN("POST", "/v1/hosts/h1/update", BODY("{\"part\": \"cellar\"}")), 22);
	assert_true(says("must be controller"));
	assert_int_equal(ADMIN("POST", "/v1/hosts/none/update", BODY("{}")), 22);
	await_host("unattested");
}

static void a_quarantine_is_seen_and_ended(void **state)
{
	(void)state;
	await_host("unattested");
	assert_int_equal(sh("cp karuta-card-null whole && printf x >>karuta-card-null"), 0);
	assert_int_equal(sh("./karuta-controller verify --state state"), 1);
	await_host("quarantined");
	assert_int_equal(ADMIN("GET", "/v1/hosts/h1", ""), 0);
	assert_true(says("karuta-card-null"));
	assert_int_equal(sh("mv whole karuta-card-null"), 0);
	assert_int_equal(ADMIN("POST", "/v1/hosts/h1/release", BODY("{\"reason\": \"restored\"}")),
			 0);
	await_host("unattested");
	/* One that only the plane may have. */
	assert_int_equal(ADMIN("POST", "/v1/hosts/h1/release", BODY("{\"reason\": \"again\"}")), 0);
	assert_int_equal(ADMIN("POST", "/v1/hosts/none/release", BODY("{\"reason\": \"x\"}")), 22);
	assert_int_equal(ADMIN("GET", "/v1/events", ""), 0);
	assert_true(says("host h1 was released from its quarantine") && says("\"who\""));
}

static void events_are_watched(void **state)
{
	(void)state;
	sh("curl -sSN --cacert plane/ca.pem -H 'Accept: text/event-stream' -H \"Authorization: "
	   "Bearer " TOKEN "\" --max-time 2 'https://127.0.0.1:%d/v1/events?since=0' >seen 2>&1 & "
	   "sleep 0.5; curl -sS --cacert plane/ca.pem -H 'Content-Type: application/json' -H "
	   "\"Authorization: Bearer " TOKEN "\" -d '{\"name\": \"h5\", \"address\": \"::1\"}' "
	   "https://127.0.0.1:%d/v1/hosts; wait",
	   plane_port, plane_port);
	assert_int_equal(sh("grep -q 'host h1 at 127.0.0.1 was added' seen && "
			    "grep -q 'host h5 at ::1 was added' seen && grep -q '^id: 1$' seen"),
			 0);
	assert_int_equal(ADMIN("DELETE", "/v1/hosts/h5", ""), 0);
}

/* docs/openapi.yaml: the same paths and methods as in the table of routes, and as the server says
 * of each path when it is asked for a method that there is not. "rotate" may be the name of a key
 * as well, so that path has those methods too. */
static void the_api_is_what_is_written(void **state)
{
	(void)state;
	assert_int_equal(
		sh("root=$(dirname %s)/../.. && awk '/^  \\// { path = $1; sub(/:$/, \"\", path) } "
		   "/^    (get|post|put|patch|delete):/ { sub(/:/, \"\", $1); print path, "
		   "toupper($1) }' $root/docs/openapi.yaml | sort >written && "
		   "sed -nE 's/^\t\\{HTTP_([A-Z]+), \"([^\"]+)\".*/\\2 \\1/p' $root/plane/api.c | "
		   "sort >routes && test -s routes && diff written routes",
		   KARUTA_CERTIFICATES),
		0);
	assert_int_equal(
		sh("printf '/v1/keys/rotate %%s\\n' GET DELETE >>written && sort -o written "
		   "written && "
		   "cut -d' ' -f1 written | uniq | while read path; do url=$(echo $path | sed "
		   "s/{name}/h1/); method=PUT; grep -qx \"$path PUT\" written && method=PATCH; "
		   "curl -sS -o /dev/null -D - --cacert plane/ca.pem -H \"Authorization: "
		   "Bearer " TOKEN "\" -X $method https://127.0.0.1:%d$url | tr -d '\\r' | sed -n "
		   "'s/^Allow: //p' | tr ',' '\\n' | tr -d ' ' | grep -v HEAD | sed \"s|^|$path "
		   "|\"; "
		   "done | sort >said; diff written said",
		   plane_port),
		0);
}

/* What it knew is there, the host is used again, and a host that is gone is said to be. */
static void a_plane_that_was_killed_goes_on(void **state)
{
	(void)state;
	kill(plane_pid, SIGKILL);
	wait_end(plane_pid);
	start_plane();
	await_host("unattested");
	kill(keeper_pid, SIGTERM);
	wait_end(keeper_pid);
	await_host("unreachable");
	keeper_pid = start_daemon("host");
	await_host("unattested");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_enrolled_host_is_used),
		cmocka_unit_test(a_certificate_is_renewed_in_time),
		cmocka_unit_test(requests_are_carried_out_once),
		cmocka_unit_test(what_makes_no_sense_is_named),
		cmocka_unit_test(who_may_not_is_refused),
		cmocka_unit_test(a_certificate_lets_in_until_it_is_taken_back),
		cmocka_unit_test(a_request_for_a_certificate_that_is_none_is_refused),
		cmocka_unit_test(what_a_host_tells_is_passed_on),
		cmocka_unit_test(a_host_is_updated),
		cmocka_unit_test(a_quarantine_is_seen_and_ended),
		cmocka_unit_test(events_are_watched),
		cmocka_unit_test(the_api_is_what_is_written),
		cmocka_unit_test(a_plane_that_was_killed_goes_on),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, begin_plane, end_plane);
}
