/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stackctl flows: connections.
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "stackctl/out.h"
#include "stackctl/stackctl.h"

/* RFC 9293, 3.3.2, by the numbers of stat_flow.state. */
static const char *const state[] = {
	"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
	"FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
};
enum { STATES = sizeof(state) / sizeof(state[0]), OPTIONS_TEXT = 24 };

int state_number(const char *name)
{
	char dashed[32];

	snprintf(dashed, sizeof(dashed), "%s", name);
	for (char *p = dashed; *p != '\0'; p++)
		if (*p == '_')
			*p = '-';
	for (int i = 0; i < STATES; i++)
		if (strcasecmp(dashed, state[i]) == 0)
			return i;
	return strcasecmp(dashed, "SYN-RCVD") == 0 ? 3 : -1;
}

static bool wanted(const struct stat_flow *f, const struct options *o)
{
	return (o->app < 0 || f->app == (uint32_t)o->app) && (o->state < 0 || f->state == o->state);
}

/* "ts,sack,ws,ecn", or less. */
static const char *options_text(uint8_t options, char text[OPTIONS_TEXT])
{
	static const char *const name[] = { "ts", "sack", "ws", "ecn" };
	char *end = text;

	*end = '\0';
	for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		if ((options >> i & 1) != 0)
			end += snprintf(end, (size_t)(text + OPTIONS_TEXT - end), "%s%s", end > text ? "," : "", name[i]);
	return text;
}

static void print_flow(struct out *out, const struct stat_flow *f, unsigned engine, uint64_t now)
{
	static const char *const cc[] = { [CC_CUBIC] = "cubic", [CC_RENO] = "reno" };
	char address[ADDRESS_TEXT], options[OPTIONS_TEXT];

	out_number(out, engine);
	out_number(out, f->app);
	out_text(out, f->state < STATES ? state[f->state] : "?");
	out_text(out, address_text(&f->local, out->json, address));
	out_number(out, f->lport);
	out_text(out, address_text(&f->peer, out->json, address));
	out_number(out, f->pport);
	out_number(out, now > f->born_us ? now - f->born_us : 0);
	out_number(out, f->rx_bytes);
	out_number(out, f->tx_bytes);
	out_number(out, f->rx_queued);
	out_number(out, f->tx_queued);
	out_number(out, f->srtt_us);
	out_number(out, f->cwnd);
	out_number(out, f->mss);
	out_number(out, f->retrans);
	out_number(out, f->timeouts);
	out_number(out, f->rto_us);
	out_number(out, f->ssthresh);
	out_number(out, f->in_flight);
	out_number(out, f->snd_wnd);
	out_number(out, f->rcv_wnd);
	out_number(out, f->pmtu);
	out_text(out, options_text(f->options, options));
	out_text(out, f->cc < sizeof(cc) / sizeof(cc[0]) ? cc[f->cc] : "?");
}

/* The flows of one engine; how many more may be printed. */
static unsigned long engine_flows(struct out *out, const struct segment *s, unsigned engine, const struct options *o,
                                  unsigned long left, uint64_t now)
{
	struct stat_engine e;
	struct stat_flow f;

	if (!segment_engine(s, engine, &e))
		return left;
	/* beyond flows_high nothing was ever written, and looking would make pages */
	for (unsigned i = 0; i < e.flows_high && i < s->head.flows && left > 0; i++) {
		if (!segment_flow(s, engine, i, &f) || !wanted(&f, o))
			continue;
		print_flow(out, &f, engine, now);
		left--;
	}
	return left;
}

int cmd_flows(const struct segment *s, const struct options *o, FILE *f)
{
	static const struct out_col col[] = {
		{ "engine", OUT_COUNT }, { "app", OUT_COUNT }, { "state", OUT_TEXT }, { "local", OUT_TEXT },
		{ "local_port", OUT_COUNT }, { "peer", OUT_TEXT }, { "peer_port", OUT_COUNT }, { "age_s", OUT_AGE },
		{ "rx_bytes", OUT_BYTES }, { "tx_bytes", OUT_BYTES }, { "rx_queued", OUT_BYTES }, { "tx_queued", OUT_BYTES },
		{ "srtt_us", OUT_COUNT }, { "cwnd", OUT_BYTES }, { "mss", OUT_COUNT }, { "retrans", OUT_COUNT },
		{ "timeouts", OUT_COUNT }, { "rto_us", OUT_COUNT }, { "ssthresh", OUT_BYTES }, { "in_flight", OUT_BYTES },
		{ "snd_wnd", OUT_BYTES }, { "rcv_wnd", OUT_BYTES }, { "pmtu", OUT_COUNT }, { "options", OUT_TEXT }, { "cc", OUT_TEXT },
	};
	unsigned long left = o->limit > 0 ? o->limit : (unsigned long)-1;
	uint64_t now = now_us();
	struct out out;

	out_open(&out, f, o->json, "flows", col, sizeof(col) / sizeof(col[0]));
	for (unsigned e = 0; e < s->head.engines; e++)
		if (o->engine < 0 || e == (unsigned)o->engine)
			left = engine_flows(&out, s, e, o, left, now);
	return out_close(&out) == 0 ? 0 : EXIT_FAILED;
}
