package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// onSystem runs build/install.sh on a made-up system: only the programs given
// are there besides what every system has. It gives what was said and what apt
// was asked for.
func onSystem(t *testing.T, programs map[string]string) (said, asked string, err error) {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"bash", "dirname", "git", "sort", "comm", "sed", "grep", "head", "env"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(t.TempDir(), "log")
	made := map[string]string{"id": "echo 0", "dpkg-query": "true", "go": "echo go1.99", "npm": "echo 99.0.0", "node": "echo v99.0.0",
		"apt-get": `echo "$@" >>` + log}
	for _, from := range []map[string]string{made, programs} {
		for name, does := range from {
			if err := os.WriteFile(filepath.Join(bin, name), []byte("#!"+filepath.Join(bin, "bash")+"\n"+does+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	script, err := os.ReadFile("../install.sh")
	if err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile("../env.sh")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "build") // the tools that this machine had to fetch are not there
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"install.sh": script, "env.sh": env} {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(bin, "bash"), filepath.Join(root, "install.sh"), "build", "test")
	cmd.Env = []string{"PATH=" + bin}
	out, err := cmd.CombinedOutput()
	lines, _ := os.ReadFile(log) // none: apt was asked for nothing
	return string(out), string(lines), err
}

func TestInstallFindsABrowserOrSaysWhatToInstall(t *testing.T) {
	const known, unknown = `echo "chromium:
  Installed: (none)
  Candidate: 140.0-1"`, `echo "chromium:
  Installed: (none)
  Candidate: (none)"`
	const works, stub = `echo "Chromium 140"`, `echo "This needs a snap" >&2; exit 1`
	for name, tt := range map[string]struct {
		programs map[string]string
		stops    bool
		installs bool
	}{
		"Debian":                      {map[string]string{"apt-cache": known}, false, true},
		"Ubuntu":                      {map[string]string{"apt-cache": unknown}, true, false},
		"a system that never heard":   {map[string]string{"apt-cache": "true"}, true, false},
		"Ubuntu with the snap's stub": {map[string]string{"apt-cache": unknown, "chromium-browser": stub}, true, false},
		"Ubuntu with Chrome":          {map[string]string{"apt-cache": unknown, "google-chrome": works}, false, false},
		"Debian with Chromium":        {map[string]string{"apt-cache": known, "chromium": works}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			said, asked, err := onSystem(t, tt.programs)
			if (err != nil) != tt.stops || tt.stops != strings.Contains(said, "google.com/chrome") {
				t.Errorf("%v, said %s", err, said)
			}
			if installs := strings.Contains(asked, " install "); installs == tt.stops {
				t.Errorf("apt was asked for %s", asked)
			}
			if strings.Contains(asked, " chromium") != tt.installs {
				t.Errorf("apt was asked for %s", asked)
			}
		})
	}
}
