package server_test

import (
	"context"
	"database/sql"
	"net/http"
	"path/filepath"
	"testing"

	_ "github.com/mattn/go-sqlite3" // to break the database from outside

	"parley/backend/protocol"
)

// TestASetupThatFailsHalfWayLeavesNothing: whichever of its rows cannot be
// written, the backend is as empty as before and can be set up.
func TestASetupThatFailsHalfWayLeavesNothing(t *testing.T) {
	c := onSQLite(t)
	r := bareRig(t, c)
	db, err := sql.Open("sqlite3", filepath.Join(c.Data, "parley.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := protocol.Setup{Workspace: "Northwind", Email: "olga@northwind.example", Name: "Olga", Password: password}
	for _, table := range []string{"counter", "member", "brand", "channel", "change"} {
		if _, err := db.Exec(`create trigger broken before insert on ` + table + ` begin select raise(abort, 'broken'); end`); err != nil {
			t.Fatal(err)
		}
		if _, err := r.srv.Setup(context.Background(), want); err == nil {
			t.Fatalf("set up although no %s can be written", table)
		}
		if list, err := r.srv.Inbox().Workspaces(context.Background()); err != nil || len(list) != 0 {
			t.Fatalf("%d workspaces are left of a setup that failed at %s (%v)", len(list), table, err)
		}
		if _, err := db.Exec(`drop trigger broken`); err != nil {
			t.Fatal(err)
		}
	}
	r.restart(c)
	if _, err := r.srv.Setup(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	if a := r.do(http.MethodPost, "/v1/session", "", protocol.SignIn{Email: want.Email, Password: password}); a.status != http.StatusCreated {
		t.Errorf("sign in: %d %s", a.status, a.body)
	}
}
