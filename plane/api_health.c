/* SPDX-License-Identifier: Apache-2.0 */
/* For what watches the plane itself. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "base/base.h"

void api_health(void *context, const struct route_request *request)
{
	(void)context;
	http_answer_json(request->exchange, 200,
			 json_pack("{s:s,s:s}", "status", "ok", "version", KARUTA_VERSION));
}

static void write_requests(FILE *to, const struct http_numbers *numbers)
{
	fprintf(to,
		"# HELP karuta_http_connections Connections of clients.\n"
		"# TYPE karuta_http_connections gauge\n"
		"karuta_http_connections %" PRIu64 "\n"
		"# HELP karuta_http_requests_total Requests that were carried out.\n"
		"# TYPE karuta_http_requests_total counter\n"
		"karuta_http_requests_total %" PRIu64 "\n"
		"# HELP karuta_http_refused_total Requests that were refused before.\n"
		"# TYPE karuta_http_refused_total counter\n"
		"karuta_http_refused_total %" PRIu64 "\n"
		"# HELP karuta_http_answers_total Answers, by the first digit of their status.\n"
		"# TYPE karuta_http_answers_total counter\n",
		numbers->connections, numbers->requests, numbers->refused);
	for (size_t i = 1; i < ARRAY_LEN(numbers->by_status); i++)
		fprintf(to, "karuta_http_answers_total{status=\"%zuxx\"} %" PRIu64 "\n", i,
			numbers->by_status[i]);
}

static void write_hosts(FILE *to, const struct hosts *hosts)
{
	unsigned counts[HOSTS_STATES];

	hosts_count(hosts, counts);
	fputs("# HELP karuta_hosts Hosts of the fleet, by what they are believed.\n"
	      "# TYPE karuta_hosts gauge\n",
	      to);
	for (unsigned i = 0; i < HOSTS_STATES; i++)
		fprintf(to, "karuta_hosts{state=\"%s\"} %u\n", trust_name((enum trust_state)i),
			counts[i]);
}

static void write_fleet(FILE *to, const struct fleet *fleet, const char *kind)
{
	struct fleet_count list[FLEET_STATES];
	size_t count = fleet_count(fleet, kind, list);

	fprintf(to, "# HELP karuta_%s What the fleet has, by its state.\n# TYPE karuta_%s gauge\n",
		kind, kind);
	for (size_t i = 0; i < count; i++)
		fprintf(to, "karuta_%s{state=\"%s\"} %zu\n", kind, list[i].state, list[i].count);
}

/* The text format of Prometheus, 0.0.4. */
void api_metrics(void *context, const struct route_request *request)
{
	struct plane *plane = context;
	struct http_numbers numbers;
	char *text = NULL;
	size_t length;
	FILE *to = open_memstream(&text, &length);

	if (!to) {
		api_fail(request, -ENOMEM, NULL, NULL);
		return;
	}
	http_numbers(plane->http, &numbers);
	write_requests(to, &numbers);
	write_hosts(to, plane->hosts);
	write_fleet(to, plane->fleet, "instances");
	write_fleet(to, plane->fleet, "volumes");
	write_fleet(to, plane->fleet, "snapshots");
	fprintf(to,
		"# HELP karuta_store_revision Commits of the plane's state.\n"
		"# TYPE karuta_store_revision counter\nkaruta_store_revision %" PRIu64 "\n",
		plane->store->revision);
	fclose(to);
	http_answer_text(request->exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text,
			 length);
	free(text);
}
