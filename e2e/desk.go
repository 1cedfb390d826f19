package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// screenSize leaves room for a window of 1440 × 900 with its title bar.
const screenSize = "1600x1000x24"

// Desk is a desktop session of its own: a message bus, a screen, a window manager, a notification server, an unlocked
// keyring unless it is to have none, and a home folder. Desks do not see each other, nor the session the tests were started from.
type Desk struct {
	t   testing.TB
	env []string
	// Home is the home folder; what programs keep lies below it.
	Home string
	// Screen is what can be seen.
	Screen     *Screen
	behind     string // Xvfb's option for what is seen where no window is
	noKeychain bool
}

// withoutKeychain makes a desk as a small window manager gives it: nothing on it keeps secrets.
func withoutKeychain(d *Desk) { d.noKeychain = true }

// blackBehind makes the screen black where no window is, so that a light window is seen at once.
func blackBehind(d *Desk) { d.behind = "-br" }

// NewDesk starts a session that ends with the test.
func NewDesk(t testing.TB, differently ...func(*Desk)) *Desk {
	t.Helper()
	d := &Desk{t: t, Home: t.TempDir(), behind: "-wr"}
	for _, change := range differently {
		change(d)
	}
	runtimeDir := filepath.Join(d.Home, "run")
	if err := os.Mkdir(runtimeDir, 0o700); err != nil {
		t.Fatalf("make the runtime folder: %v", err)
	}
	d.env = cleanEnvironment(
		"HOME="+d.Home,
		"XDG_RUNTIME_DIR="+runtimeDir,
		"XDG_CONFIG_HOME="+filepath.Join(d.Home, "config"),
		"XDG_DATA_HOME="+filepath.Join(d.Home, "data"),
		"XDG_CACHE_HOME="+filepath.Join(d.Home, "cache"),
		"XDG_STATE_HOME="+filepath.Join(d.Home, "state"),
		"LANG=C.UTF-8",
		"TZ=Europe/Berlin",
		"GDK_BACKEND=x11",
		// There is no graphics card here.
		"LIBGL_ALWAYS_SOFTWARE=1",
		"WEBKIT_DISABLE_DMABUF_RENDERER=1",
	)
	if d.noKeychain {
		d.refuseKeyring()
	}
	d.startBus()
	d.startScreen()
	if !d.noKeychain {
		d.startKeyring()
	}
	start(t, "openbox", d.Command("openbox", "--sm-disable"))
	start(t, "dunst", d.Command("dunst"))
	Until(t, "the window manager and the notification server", func() bool {
		manager := d.Command("xprop", "-root", "_NET_SUPPORTING_WM_CHECK")
		out, err := manager.Output()
		if err != nil || !strings.Contains(string(out), "window id") {
			return false
		}
		return d.Command("dunstctl", "count").Run() == nil
	})
	return d
}

// Command prepares a program to run in this session.
func (d *Desk) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = d.env
	cmd.Dir = d.Home
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Photograph keeps a picture of the whole screen, with title bars and notifications, as e2e/shots/NAME.png.
func (d *Desk) Photograph(name string) {
	d.t.Helper()
	run(d.t, d.Command("import", "-window", "root", shotPath(d.t, name)))
}

// Notifications closes what the notification server still shows and returns all it was given so far, as its JSON.
func (d *Desk) Notifications() string {
	d.t.Helper()
	run(d.t, d.Command("dunstctl", "close-all"))
	return run(d.t, d.Command("dunstctl", "history"))
}

// startBus starts the message bus and points the session at it.
func (d *Desk) startBus() {
	d.t.Helper()
	address := d.startWithPipe("message bus", func(fd string) *exec.Cmd {
		return d.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address="+fd)
	})
	d.env = append(d.env, "DBUS_SESSION_BUS_ADDRESS="+address)
}

// startScreen starts an X server that chooses its own free number, so that desks can stand side by side.
func (d *Desk) startScreen() {
	d.t.Helper()
	number := d.startWithPipe("Xvfb", func(fd string) *exec.Cmd {
		return d.Command("Xvfb", "-displayfd", fd, "-screen", "0", screenSize, "-fbdir", d.Home, d.behind, "-nolisten", "tcp", "-noreset")
	})
	d.Screen = openScreen(d.t, d.Home)
	d.env = append(d.env, "DISPLAY=:"+number)
}

// startKeyring starts the keychain that a desktop has, unlocked, as it is after signing in to a desktop.
func (d *Desk) startKeyring() {
	d.t.Helper()
	cmd := d.Command("gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
	cmd.Stdin = strings.NewReader("the password of the login keyring")
	start(d.t, "keyring", cmd)
	// Asking the keyring itself would make the bus start another one, locked.
	Until(d.t, "the keyring", func() bool {
		out, err := d.Command("dbus-send", "--session", "--print-reply=literal", "--dest=org.freedesktop.DBus",
			"/org/freedesktop/DBus", "org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets").Output()
		return err == nil && strings.Contains(string(out), "true")
	})
}

// refuseKeyring keeps the bus from starting a keychain, locked, for whoever asks for one: what a person's own folder
// says about a service goes before what the system says.
func (d *Desk) refuseKeyring() {
	d.t.Helper()
	dir := filepath.Join(d.Home, "data", "dbus-1", "services")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.t.Fatalf("refuse a keyring: %v", err)
	}
	const service = "[D-BUS Service]\nName=org.freedesktop.secrets\nExec=/bin/false\n"
	if err := os.WriteFile(filepath.Join(dir, "org.freedesktop.secrets.service"), []byte(service), 0o600); err != nil {
		d.t.Fatalf("refuse a keyring: %v", err)
	}
}

// startWithPipe starts a program that says on a file descriptor of its choice when it is ready, and returns that line.
func (d *Desk) startWithPipe(name string, command func(fd string) *exec.Cmd) string {
	d.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		d.t.Fatalf("start %s: %v", name, err)
	}
	cmd := command("3")
	cmd.ExtraFiles = []*os.File{write}
	start(d.t, name, cmd)
	write.Close()
	line := firstLine(d.t, name, read)
	if line == "" {
		d.t.Fatalf("%s did not start", name)
	}
	return line
}

// cleanEnvironment is the environment of the test without what belongs to the session it was started from.
func cleanEnvironment(add ...string) []string {
	var env []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		switch {
		case strings.HasPrefix(name, "XDG_"), strings.HasPrefix(name, "DBUS_"), strings.HasPrefix(name, "PARLEY"):
		case name == "DISPLAY", name == "WAYLAND_DISPLAY", name == "HOME", name == "LANG", name == "TZ":
		default:
			env = append(env, pair)
		}
	}
	return append(env, add...)
}

// shotPath is where a picture of that name is kept.
func shotPath(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(root(t), "e2e", "shots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("keep pictures: %v", err)
	}
	return filepath.Join(dir, fmt.Sprintf("%s.png", name))
}
