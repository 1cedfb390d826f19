package cache

import (
	"encoding/json"
	"testing"

	"parley/backend/chat"
)

// FuzzApply gives packets of any content: the cache takes them over or refuses
// them, stays readable, and never moves without saying so.
func FuzzApply(f *testing.F) {
	w := world{f}
	for _, changes := range [][]chat.Change{
		{w.contact(1, 1, 1, "Ana"), w.conversation(1, 2, 1, nil), w.message(1, 1, 3, 1, "hi"), w.draft(1, 4, 1, "x")},
		{w.brand(1, 1), w.channel(1, 2), w.member(1, 3, "Lena")},
		{w.draft(1, 4, 1, ""), w.change(chat.EntityMessage, messageID(1, 1).String(), 5, brandID(1), conversationID(1), nil)},
		{w.access(6, chat.Access{Member: memberID(1), Brands: []chat.BrandID{brandID(2)}})},
	} {
		f.Add([]byte(encode(f, changes)))
	}
	f.Add([]byte(`[{"seq":-1,"kind":"message","op":"put","data":{"id":"x"}}]`))
	f.Add([]byte(`[{"seq":9,"kind":"conversation","id":"` + conversationID(1).String() + `","op":"delete"}]`))
	c := open(f, f.TempDir())
	f.Fuzz(func(t *testing.T, data []byte) {
		var changes []chat.Change
		if json.Unmarshal(data, &changes) != nil {
			return
		}
		from, _ := c.Position()
		if _, err := c.Apply(t.Context(), from, from+1, changes); err != nil {
			t.Fatalf("apply: %v", err)
		}
		if now, _ := c.Position(); now != from+1 {
			t.Fatalf("position %d, want %d", now, from+1)
		}
		page, err := c.Conversations(t.Context(), ListQuery{Limit: 200})
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, r := range page.Rows {
			if _, err := c.Thread(t.Context(), r.ID, 0, 0, 0, 200); err != nil {
				t.Fatalf("thread: %v", err)
			}
		}
		if _, err := c.Find(t.Context(), FindQuery{Query: parse(string(data)), Limit: 200}); err != nil {
			t.Fatalf("search: %v", err)
		}
		if _, err := c.Counts(t.Context(), chat.BrandID{}, chat.MemberID{}); err != nil {
			t.Fatalf("counts: %v", err)
		}
	})
}
