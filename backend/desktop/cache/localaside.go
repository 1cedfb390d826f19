package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// SetLocalAside renames what only this machine knows of a folder, so that it is
// begun anew, and gives the path where it is kept. Nothing of it is ever
// deleted: it may hold the only copy of something a person wrote. A file that is
// not damaged is not set aside.
func SetLocalAside(dir string, now time.Time) (kept string, err error) {
	lock, err := lockFolder(dir, localLock)
	if err != nil {
		return "", fmt.Errorf("set local data aside: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	list, err := migrations()
	if err != nil {
		return "", err
	}
	from := filepath.Join(dir, localFile)
	if err := checkLocal(from, len(list)); err == nil {
		return "", errors.New("set local data aside: it is not damaged")
	} else if !IsDamaged(err) {
		return "", fmt.Errorf("set local data aside: %w", err)
	}
	to := filepath.Join(dir, "local.damaged-"+now.UTC().Format("20060102-150405")+".db")
	for n := 2; exists(to) || exists(to+"-wal"); n++ {
		to = filepath.Join(dir, fmt.Sprintf("local.damaged-%s-%d.db", now.UTC().Format("20060102-150405"), n))
	}
	// The log first: a program that is killed in between finds a file without it
	// that is damaged still, and not a log without its file.
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(from+suffix, to+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", unavailable(fmt.Errorf("set local data aside: %w", err))
		}
	}
	return to, nil
}
