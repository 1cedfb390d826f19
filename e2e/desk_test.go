package e2e

import (
	"strings"
	"testing"
)

// TestDesk shows that a desk is a whole session: its keychain is unlocked and keeps what it is given, and its
// notification server takes what it is told.
func TestDesk(t *testing.T) {
	desk := NewDesk(t)

	store := desk.Command("secret-tool", "store", "--label=test", "service", "parley-e2e")
	store.Stdin = strings.NewReader("kept")
	run(t, store)
	if got := run(t, desk.Command("secret-tool", "lookup", "service", "parley-e2e")); got != "kept" {
		t.Errorf("the keychain answers %q, want what was kept", got)
	}

	run(t, desk.Command("notify-send", "A customer writes"))
	if got := desk.Notifications(); !strings.Contains(got, "A customer writes") {
		t.Errorf("the notification was not taken: %s", got)
	}
}
