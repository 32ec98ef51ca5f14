//go:build linux

package attacks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Hog takes all that there is of something, for a while.
type Hog struct {
	// ID is "hog/name".
	ID   string
	What string
	// Limit is what of a manifest keeps it from more, if anything.
	Limit string
	// Ends says that the bottle ends by it.
	Ends bool
	// Full says that it is no part of the sample.
	Full bool

	take func(ctx context.Context) (Taken, error)
}

// Taken is how much that was, and what ended it.
type Taken struct {
	Count int    `json:"count"`
	Error string `json:"error"`
}

// hogTime is how long what was taken is kept.
const hogTime = 3 * time.Second

// Hogs is every one of them. None takes more than a machine can bear, should
// nothing stop it.
func Hogs() []Hog {
	return []Hog{
		{ID: "hog/processes", What: "a fork bomb", Limit: "pids: 200", take: forkBomb},
		{ID: "hog/orphans", What: "processes whose parents are gone, thousands of them, for the guest to reap", Limit: "pids: 200", take: leaveOrphans},
		{ID: "hog/memory", Full: true, What: "memory, 1 GiB of it", Limit: "memory: 128MiB", take: fillMemory},
		{ID: "hog/disk", Full: true, What: "disk: files of 512 MiB, and as many empty ones as fit", Limit: "disk: 64MiB", Ends: true, take: fillDisk},
		{ID: "hog/reserved-disk", What: "disk, by reserving 16 GiB of it in one call", Limit: "disk: 64MiB", take: reserveDisk},
		{ID: "hog/descriptors", Full: true, What: "descriptors of files, sockets and pipes, in many processes", take: openEverything},
		{ID: "hog/connections", What: "connections to its gateway that say half of something, or nothing", take: connectOften},
		{ID: "hog/requests", Full: true, What: "requests and questions of DNS that are refused, as fast as they can be said", take: askOften},
	}
}

// Take makes the hog of an id.
func Take(ctx context.Context, id string) (Taken, error) {
	for _, hog := range Hogs() {
		if hog.ID == id {
			return hog.take(ctx)
		}
	}
	return Taken{}, fmt.Errorf("no hog %q", id)
}

// fillMemory does it in another process, which is killed for it.
func fillMemory(ctx context.Context) (Taken, error) {
	err := exec.CommandContext(ctx, "/proc/self/exe", "fill").Run()
	return Taken{0, errorText(err)}, nil
}

// Fill writes to 1 GiB of memory.
func Fill() {
	var kept [][]byte
	for range 1024 {
		piece := make([]byte, 1<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		kept = append(kept, piece)
	}
	_ = kept
}

func openEverything(ctx context.Context) (Taken, error) {
	var holders []*exec.Cmd
	for range 8 {
		cmd := exec.CommandContext(ctx, "/proc/self/exe", "descriptors")
		if err := cmd.Start(); err != nil {
			return Taken{}, err
		}
		holders = append(holders, cmd)
	}
	ended := error(nil)
	for _, cmd := range holders {
		ended = errors.Join(ended, cmd.Wait())
	}
	return Taken{len(holders), errorText(ended)}, nil
}

// Descriptors opens what can be opened, and keeps it.
func Descriptors() error {
	limit := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) // then it is fewer
	// The runtime needs some for its timers: they are made before the rest is
	// taken.
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _, _ = reader.Close(), writer.Close() }()
	hold := time.NewTimer(hogTime)
	const most = 1 << 17
	for i := range most {
		var fds [2]int
		var err error
		switch i % 3 {
		case 0:
			fds[0], err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		case 1:
			err = unix.Pipe2(fds[:], unix.O_CLOEXEC)
		case 2:
			fds, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		}
		if err != nil {
			break
		}
	}
	<-hold.C
	return nil
}

func connectOften(ctx context.Context) (Taken, error) {
	gateway, ok := Targets{}.gateway()
	if !ok {
		return Taken{}, errors.New("nobody says where the gateway is")
	}
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	first := []string{"", "GET http://refused.example/ HTTP/1.1\r\nX: ", "\x05\x01", "\x16\x03\x01\x02\x00", "CONNECT refused.example:443 HTTP/1.1\r\n"}
	ports := []uint16{3128, 1080, 80, 443, 53}
	ctx, cancel := context.WithTimeout(ctx, 2*hogTime)
	defer cancel()
	last := error(nil)
	for i := 0; i < 6000 && ctx.Err() == nil; i++ {
		dialer := net.Dialer{Timeout: time.Second}
		conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(gateway, ports[i%len(ports)]).String())
		if err != nil {
			last = err
			continue
		}
		_, _ = io.WriteString(conn, first[i%len(first)]) // it may have been closed
		conns = append(conns, conn)
	}
	return Taken{len(conns), errorText(last)}, nil
}

func askOften(ctx context.Context) (Taken, error) {
	gateway, ok := Targets{}.gateway()
	if !ok {
		return Taken{}, errors.New("nobody says where the gateway is")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*hogTime)
	defer cancel()
	counts := make(chan int)
	const askers = 16
	for i := range askers {
		go func() {
			n := 0
			for ctx.Err() == nil {
				if i%2 == 0 {
					_, _ = exchange(ctx, gateway, 3128, "GET http://"+strconv.Itoa(n)+".refused.example/ HTTP/1.1\r\nHost: "+strconv.Itoa(n)+".refused.example\r\n\r\n") // refused
				} else {
					_, _ = askRaw(ctx, "udp", netip.AddrPortFrom(gateway, 53), rawQuestion(strconv.Itoa(n), "refused", "example")) // refused
				}
				n++
			}
			counts <- n
		}()
	}
	all := 0
	for range askers {
		all += <-counts
	}
	return Taken{all, "closed"}, nil
}

// Pulse is how a bottle's gateway answered over a time.
type Pulse struct {
	Asked   int           `json:"asked"`
	Failed  []string      `json:"failed"`
	Longest time.Duration `json:"longest"`
}

// Beat asks for an allowed host again and again until end is closed.
func Beat(ctx context.Context, allowed string, end <-chan struct{}) (Pulse, error) {
	gateway, ok := Targets{}.gateway()
	if !ok {
		return Pulse{}, errors.New("nobody says where the gateway is")
	}
	var pulse Pulse
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return pulse, nil
		case <-tick.C:
		}
		began := time.Now()
		open, said := plainHTTP(ctx, Targets{}, gateway, allowed, 80)
		if !open {
			pulse.Failed = append(pulse.Failed, said)
		}
		pulse.Asked++
		pulse.Longest = max(pulse.Longest, time.Since(began))
	}
}

// Burnt is how much of the machine's processors a process had in a time.
type Burnt struct {
	Time time.Duration `json:"time"`
	CPU  time.Duration `json:"cpu"`
}

// Burn keeps every processor busy, for a while.
func Burn(ctx context.Context) (Burnt, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var usage unix.Rusage
	began := time.Now()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_ = n * n
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return Burnt{}, err
	}
	return Burnt{took, time.Duration(usage.Utime.Nano() + usage.Stime.Nano())}, nil
}
