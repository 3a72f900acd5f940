/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mail between the control thread and the engines; see core.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stackd/core.h"

int mailbox_init(struct mailbox *b)
{
	cds_wfcq_init(&b->head, &b->tail);
	b->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return b->bell_fd < 0 ? -errno : 0;
}

void mailbox_fini(struct mailbox *b)
{
	struct mail *m;

	while ((m = mail_next(b)) != NULL)
		free(m);
	cds_wfcq_destroy(&b->head, &b->tail);
	close(b->bell_fd);
}

int mail_send(struct mailbox *b, const struct mail *m)
{
	struct mail *copy = malloc(sizeof(*copy));
	uint64_t one = 1;

	if (copy == NULL)
		return -ENOMEM;
	*copy = *m;
	cds_wfcq_node_init(&copy->node);
	cds_wfcq_enqueue(&b->head, &b->tail, &copy->node);
	/* ours alone, nonblocking; a full counter means that the bell rings already */
	if (write(b->bell_fd, &one, sizeof(one)) < 0)
		return 0;
	return 0;
}

struct mail *mail_next(struct mailbox *b)
{
	struct cds_wfcq_node *n;

	if (cds_wfcq_empty(&b->head, &b->tail))
		return NULL;
	n = __cds_wfcq_dequeue_blocking(&b->head, &b->tail); /* waits only for an enqueue that has begun */
	return n == NULL ? NULL : caa_container_of(n, struct mail, node);
}
