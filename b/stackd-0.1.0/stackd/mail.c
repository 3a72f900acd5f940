/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mail between the control thread and the engines; see core.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stackd/core.h"
#include "stackd/tsan.h"

int mailbox_init(struct mailbox *b)
{
	cds_wfcq_init(&b->head, &b->tail);
	b->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return b->bell_fd < 0 ? -errno : 0;
}

void mailbox_fini(struct mailbox *b)
{
	struct mail m;

	while (mail_next(b, &m))
		; /* copies are freed by that */
	cds_wfcq_destroy(&b->head, &b->tail);
	close(b->bell_fd);
}

static void put(struct mailbox *b, struct mail *m)
{
	uint64_t one = 1;

	cds_wfcq_node_init(&m->node);
	tsan_release(m);
	cds_wfcq_enqueue(&b->head, &b->tail, &m->node);
	/* ours alone, nonblocking; a full counter means that the bell rings already */
	if (write(b->bell_fd, &one, sizeof(one)) < 0)
		return;
}

int mail_send(struct mailbox *b, const struct mail *m)
{
	struct mail *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return -ENOMEM;
	*copy = *m;
	copy->back = NULL;
	put(b, copy);
	return 0;
}

void mail_post(struct mailbox *b, struct mail *m)
{
	m->back = m;
	put(b, m);
}

bool mail_next(struct mailbox *b, struct mail *m)
{
	struct cds_wfcq_node *n;
	struct mail *letter;

	if (cds_wfcq_empty(&b->head, &b->tail))
		return false;
	n = __cds_wfcq_dequeue_blocking(&b->head, &b->tail); /* waits only for an enqueue that has begun */
	if (n == NULL)
		return false;
	letter = caa_container_of(n, struct mail, node);
	tsan_acquire(letter);
	*m = *letter;
	if (m->back == NULL)
		free(letter);
	return true;
}
