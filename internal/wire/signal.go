package wire

import (
	"os"
	"syscall"
)

// signals are those a launcher may send to a process, by the names that POSIX
// gives them without SIG: numbers differ between systems. What a terminal
// sends by itself (WINCH, TTIN) and what means a defect (SEGV) is not here.
var signals = []struct {
	name   string
	signal syscall.Signal
}{
	{"HUP", syscall.SIGHUP},
	{"INT", syscall.SIGINT},
	{"QUIT", syscall.SIGQUIT},
	{"TERM", syscall.SIGTERM},
	{"KILL", syscall.SIGKILL},
	{"USR1", syscall.SIGUSR1},
	{"USR2", syscall.SIGUSR2},
	{"ALRM", syscall.SIGALRM},
	{"TSTP", syscall.SIGTSTP},
	{"STOP", syscall.SIGSTOP},
	{"CONT", syscall.SIGCONT},
}

// SignalName is how a frame says signal; false for one that is not sent.
func SignalName(signal os.Signal) (string, bool) {
	for _, s := range signals {
		if s.signal == signal {
			return s.name, true
		}
	}
	return "", false
}

// SignalNamed is the signal that a frame means; false for an unknown name.
func SignalNamed(name string) (syscall.Signal, bool) {
	for _, s := range signals {
		if s.name == name {
			return s.signal, true
		}
	}
	return 0, false
}
