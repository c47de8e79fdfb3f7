package sqltest

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// terminate makes a server end at once and in order: PostgreSQL would wait for its clients after
// SIGTERM, and the others take any signal that ends them.
const terminate = syscall.SIGINT

// unprivileged returns a user for the servers, which refuse to run as root.
func unprivileged() (uid, gid uint32) {
	uid, gid = 65534, 65534
	if u, err := user.Lookup("nobody"); err == nil {
		if n, err := strconv.ParseUint(u.Uid, 10, 32); err == nil {
			uid = uint32(n)
		}
		if n, err := strconv.ParseUint(u.Gid, 10, 32); err == nil {
			gid = uint32(n)
		}
	}
	return uid, gid
}

// attributes make the kernel kill a process with the thread that started it, and give up root's
// rights.
func attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		uid, gid := unprivileged()
		a.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	return a
}

func chown(path string) error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid := unprivileged()
	return os.Chown(path, int(uid), int(gid))
}
