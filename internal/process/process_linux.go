package process

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// dieWithParent makes the kernel kill the process when the thread ends that started it, also when
// that is because the test binary was killed.
func dieWithParent(cmd *exec.Cmd) { attributes(cmd).Pdeathsig = syscall.SIGKILL }

// DropRoot makes a command run as nobody if this process is root's: some servers refuse to run as
// root, and none of them needs it.
func DropRoot(cmd *exec.Cmd) {
	if os.Getuid() == 0 {
		uid, gid := nobody()
		attributes(cmd).Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
}

// Hand gives a file or a directory to the user that DropRoot chooses.
func Hand(path string) error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid := nobody()
	return os.Chown(path, uid, gid)
}

func attributes(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	return cmd.SysProcAttr
}

func nobody() (uid, gid int) {
	uid, gid = 65534, 65534
	if u, err := user.Lookup("nobody"); err == nil {
		if n, err := strconv.Atoi(u.Uid); err == nil {
			uid = n
		}
		if n, err := strconv.Atoi(u.Gid); err == nil {
			gid = n
		}
	}
	return uid, gid
}
