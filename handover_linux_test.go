package main

import (
	"bufio"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"os/exec"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	wailsoptions "github.com/wailsapp/wails/v2/pkg/options"

	"parley/backend/desktop"
)

// running is a program that has the lock, as Wails makes it.
type running chan string

func (r running) SendMessage(message string) *dbus.Error {
	r <- message
	return nil
}

// A second start with the same folder shows the window that is there, and that
// is no failure.
func TestASecondStartHandsOver(t *testing.T) {
	address := sessionBus(t)
	data := t.TempDir()
	id := instance(data)
	if handOver(t.Context(), id) {
		t.Fatal("handed over to nobody")
	}
	engine, err := desktop.Open(t.Context(), desktop.Options{Data: data, DefaultServer: "https://x"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	bus, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	asked := make(running, 1)
	name, path := singleInstance(id)
	if err := bus.Export(asked, path, name); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.RequestName(name, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	// There is no screen in a test: it ends here, or would fail.
	if err := showWindow(t.Context(), options{data: data}, noAssets{}, io.Discard, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(said.String(), "level=ERROR") {
		t.Errorf("it says %s", said.String())
	}
	var got wailsoptions.SecondInstanceData
	if err := json.Unmarshal([]byte(<-asked), &got); err != nil || got.WorkingDirectory == "" {
		t.Errorf("asked with %+v, %v", got, err)
	}
}

type noAssets struct{}

func (noAssets) Open(string) (fs.File, error) { return nil, fs.ErrNotExist }

// sessionBus starts a bus of the test's own.
func sessionBus(t *testing.T) (address string) {
	t.Helper()
	daemon := exec.CommandContext(t.Context(), "dbus-daemon", "--session", "--nofork", "--print-address=1")
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Skipf("there is no session bus here: %v", err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(line)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	return address
}
