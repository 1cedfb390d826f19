//go:build unix

package pgtest

import (
	"os"
	"syscall"
)

// unprivileged gives the folder and the processes to another user than root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is not the server's end
	if os.Geteuid() != 0 {
		return attr, nil
	}
	uid, gid, err := account(dir)
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, err
}
