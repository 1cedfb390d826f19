package store

import (
	"context"
	"database/sql"

	"parley/backend/chat"
	"parley/backend/search"
)

// Contacts lists contacts that the view includes, the newest first. With a
// query only those of whom every word of it begins a word of name, e-mail or
// phone. The cursor continues where an earlier list ended; the last page gives
// none.
func (s *Store) Contacts(ctx context.Context, ws chat.WorkspaceID, view chat.View, text, cursor string, limit int) (
	list []chat.Contact, next string, err error) {
	list = []chat.Contact{}
	r, err := s.read(ctx, ws)
	if err != nil {
		return list, "", err
	}
	q := &query{}
	// Ids are times. The column has the name that search asks for.
	q.add(`select c.data from (select workspace_id, id as contact_id, brand_id, data from contact where workspace_id = ?) c where true`, r.ws)
	if cursor != "" {
		from, err := chat.ParseID[chat.Contact](cursor)
		if err != nil {
			return list, "", errCursor()
		}
		q.add(" and c.contact_id < ?", from.Bytes())
	}
	q.brands(view, "c.brand_id")
	if text != "" {
		some, err := r.search(q, search.Beginnings(text))
		if err != nil || !some {
			return list, "", err
		}
	}
	q.add(` order by c.contact_id desc limit ?`, int64(limit)+1)
	err = r.each("contact", q.text.String(), func(rows *sql.Rows) error {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return err
		}
		var c chat.Contact
		if err := decode("contact", data, &c); err != nil {
			return err
		}
		list = append(list, c)
		return nil
	}, q.args...)
	if err == nil && len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID.String()
	}
	return list, next, err
}
