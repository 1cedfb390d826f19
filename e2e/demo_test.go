package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestDemo is `make demo`, smaller: the window opens on a company with data, signed in, and shows what is there.
func TestDemo(t *testing.T) {
	desk := NewDesk(t)
	data := filepath.Join(desk.Home, "demo")
	run(t, exec.Command(Program(t, "parleyd"), "demo", "--data", filepath.Join(data, "server"),
		"--conversations", "400", "--messages", "8000", "--seed", "1"))

	window := OpenParley(desk, "--data", data)
	window.WaitFor("a screen full of chats", "document.querySelectorAll("+quote(chatRow)+").length >= 8")
	window.Shows("body", "readable offline")
	window.Focus()
	window.Keys("ctrl+shift+Down")
	window.WaitFor("the first chat, with its messages", "document.querySelectorAll("+quote(thread+` [role="listitem"]`)+").length > 1")
	window.Portrait("demo")
	window.Close()
}
