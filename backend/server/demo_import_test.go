package server_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/server"
	"parley/backend/server/blob"
	"parley/backend/server/store"
)

// endsWhen is a context that ends once something is so.
type endsWhen struct {
	context.Context
	so func() bool
}

func (e endsWhen) Err() error {
	if e.so() {
		return context.Canceled
	}
	return nil
}

func TestADemoGoesOnBehindWhatIsThere(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	st, err := store.Open(ctx, store.Options{Data: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	files, err := blob.Open(filepath.Join(dir, "files"))
	if err != nil {
		t.Fatal(err)
	}
	whole := func(step string) {
		t.Helper()
		if found, err := st.Check(ctx); err != nil || len(found) > 0 {
			t.Fatalf("%s: %v, %v", step, found, err)
		}
	}
	set := demo.Generate(demo.Options{Conversations: 40, Messages: 400, Seed: 2})
	begun := func() bool {
		is, err := server.DemoBegun(context.Background(), st, set)
		if err != nil {
			t.Error(err)
		}
		return is
	}

	ended, end := context.WithCancel(ctx)
	end()
	if err := server.ImportDemo(ended, st, files, set); err == nil || begun() {
		t.Fatalf("before anything: %v, begun %v", err, begun())
	}
	if list, err := st.Workspaces(ctx); err != nil || len(list) != 0 {
		t.Fatalf("%d workspaces without anybody in it, %v", len(list), err)
	}
	if err := server.ImportDemo(endsWhen{ctx, begun}, st, files, set); err == nil {
		t.Fatal("it was not cut off")
	}
	whole("cut off behind the members")

	const some = 15 // the next one is of the same contact as the last
	err = st.Import(ctx, set.Workspace.ID, func(imp *store.Importer) error {
		n := 0
		for th := range set.Conversations() {
			if n++; n > some {
				return nil
			}
			if !th.Again {
				if err := imp.Contact(th.Contact); err != nil {
					return err
				}
			}
			if err := imp.Conversation(th.Conversation); err != nil {
				return err
			}
			for _, m := range th.Messages {
				if err := imp.Message(m); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	whole("cut off behind some threads")
	if err := server.ImportDemo(ctx, st, files, set); err != nil {
		t.Fatal(err)
	}
	whole("to its end")
	list, _, _, err := st.Conversations(ctx, set.Workspace.ID, chat.View{}, store.ConversationFilter{}, "", 100)
	if err != nil || len(list) != 40 {
		t.Errorf("%d conversations, %v", len(list), err)
	}

	for name, opts := range map[string]demo.Options{
		"the same":      set.Options(),
		"other numbers": {Conversations: 40, Messages: 500, Seed: 2},
		"another seed":  {Conversations: 40, Messages: 400, Seed: 3},
	} {
		if err := server.ImportDemo(ctx, st, files, demo.Generate(opts)); chat.ErrorCode(err) != chat.CodeConflict {
			t.Errorf("%s: %v", name, err)
		}
		whole(name)
	}
}
