package sync

import (
	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// Before a bootstrap ends and the cache forgets what it did not name, what it
// could not name is asked for.

// catchUp reads what has changed since the bootstrap began. A chat that is
// written in moves up past the cursor between two pages: no page names it, only
// the log does.
func (l *loader) catchUp() error {
	b, ok := l.s.cfg.Cache.Bootstrapping()
	if !ok {
		return nil
	}
	for after := b.Head; ; {
		page, err := l.s.cfg.Client.Changes(l.ctx, b.Epoch, after)
		if chat.ErrorCode(err) == chat.CodeFarBehind {
			return nil // what is swept too much comes back with the state
		}
		if err != nil {
			return err
		}
		for _, c := range page.Changes {
			if c.Kind == chat.EntityAccess { // what follows is for another view than the pages were
				return l.flush("")
			}
			l.rows = append(l.rows, cache.RowOf(c))
		}
		if err := l.flush(""); err != nil {
			return err
		}
		if !page.More {
			return nil
		}
		after = page.To
	}
}

const doubtPage = 50 // messages

// resolveDoubts reads the threads that have gone on under another log, back to
// where they are what they were: only that tells what the server has lost.
func (l *loader) resolveDoubts() error {
	all, err := l.s.cfg.Cache.Doubtful(l.ctx)
	if err != nil {
		return l.fail(err)
	}
	for _, id := range all {
		if err := l.resolveDoubt(id); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) resolveDoubt(id chat.ConversationID) error {
	for before := int64(0); ; {
		page, err := l.s.cfg.Client.Messages(l.ctx, id, protocol.MessagesQuery{Before: before, Limit: doubtPage})
		if chat.ErrorCode(err) == chat.CodeNotFound {
			return nil // gone since; the log says so
		}
		if err != nil {
			return err
		}
		shared, err := l.s.cfg.Cache.Shared(l.ctx, id, page.Messages) // before they are the new log's
		if err != nil {
			return l.fail(err)
		}
		applied, err := l.s.cfg.Cache.PutMessages(l.ctx, id, page.Range[0], page.Range[1], page.Head, page.Messages)
		if chat.ErrorCode(err) == chat.CodeNotFound {
			return nil
		}
		if err != nil {
			return l.fail(err)
		}
		l.s.cfg.Changed(applied)
		if shared || len(page.Messages) == 0 || page.Range[0] <= 1 {
			return nil
		}
		before = page.Range[0]
	}
}
