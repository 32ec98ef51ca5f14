package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/probe"
)

// minAPI is the oldest Engine API that has what bottles need: that of Docker
// Engine 20.10.
const minAPI = "1.41"

// How long the engine may take for one call. A busy one that starts 64
// bottles at once answers late; one that does not answer at all must not hang
// the launcher.
const (
	pingLimit  = 5 * time.Second
	callLimit  = 30 * time.Second
	startLimit = 2 * time.Minute
)

// engine is one connection to a Docker engine that answered and is new
// enough.
type engine struct {
	*client.Client
	endpoint   endpoint
	apiVersion string
	// breach is what a test opens on purpose, to see the probe find it.
	breach breach
	// lost says that a call which makes something got no answer: what it asked
	// for may be there, or come.
	lost atomic.Bool
}

// heard notes how a call that makes something ended.
func (e *engine) heard(err error) {
	if err != nil && !strings.HasPrefix(err.Error(), daemonPrefix) {
		e.lost.Store(true)
	}
}

// breach changes what the engine is asked for, and ends the host's canary. Only
// tests have one.
type breach struct {
	container func(call string, options *client.ContainerCreateOptions)
	network   func(call string, options *client.NetworkCreateOptions)
	start     func(ctx context.Context, call, container string) error
	hosts     func(*probe.Hosts)
}

// connect takes the first endpoint that answers.
func connect(ctx context.Context, endpoints []endpoint) (*engine, error) {
	var first error
	for _, endpoint := range endpoints {
		e, err := connectTo(ctx, endpoint)
		if err == nil {
			return e, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func connectTo(ctx context.Context, endpoint endpoint) (*engine, error) {
	api, err := client.New(client.WithHost(endpoint.Host), client.WithUserAgent("claude-bottle"))
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", endpoint.Host, err)
	}
	e := &engine{Client: api, endpoint: endpoint}
	// An engine older than the client module speaks to is refused by the
	// client too; its version is in the answer all the same.
	ping, err := ask(ctx, "ping", pingLimit, func(ctx context.Context) (client.PingResult, error) {
		return api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	})
	if ping.APIVersion != "" && olderAPI(ping.APIVersion, minAPI) {
		err = hint.With(fmt.Errorf("engine %s speaks API %s, at least %s is needed",
			endpoint.Host, ping.APIVersion, minAPI), "upgrade to Docker Engine 20.10 or later")
	} else if err != nil {
		err = explainConnect(endpoint, err)
	} else if ping.OSType == "windows" {
		err = hint.With(fmt.Errorf("engine %s runs Windows containers", endpoint.Host),
			"switch Docker to Linux containers")
	}
	if err != nil {
		_ = api.Close()
		return nil, err
	}
	e.apiVersion = api.ClientVersion()
	return e, nil
}

// knows says whether the negotiated API is at least version.
func (e *engine) knows(version string) bool { return !olderAPI(e.apiVersion, version) }

// explainConnect turns a failed first contact into what a person can act on.
// The client hides the cause, so the socket is asked once more by itself.
func explainConnect(endpoint endpoint, cause error) error {
	where := fmt.Sprintf("engine %s (from %s)", endpoint.Host, endpoint.From)
	if errors.Is(cause, context.Canceled) {
		return cause
	}
	_, err := os.Stat(strings.TrimPrefix(endpoint.Host, "unix://"))
	switch {
	case errors.As(cause, new(timeoutError)):
		return hint.With(fmt.Errorf("%s: %w", where, cause), lookAtStarting().service("restart")+": its socket accepts but nothing answers")
	case errors.Is(err, os.ErrNotExist):
		return hint.With(fmt.Errorf("%s: there is no such socket", where), lookAtStarting().hint(endpoint))
	case errors.Is(err, os.ErrPermission), strings.Contains(cause.Error(), "permission denied"):
		return hint.With(fmt.Errorf("%s: permission denied", where),
			"join the group that owns the socket: `sudo usermod -aG docker $USER`, then log in again")
	}
	return hint.With(fmt.Errorf("%s does not answer: %w", where, cause), lookAtStarting().hint(endpoint))
}

// timeoutError says that the engine took too long for one call, while the
// caller would have waited.
type timeoutError struct {
	call  string
	limit time.Duration
}

func (e timeoutError) Error() string {
	return fmt.Sprintf("%s: the engine did not answer within %s", e.call, e.limit)
}

// ask makes one engine call with a deadline of its own, at a failpoint
// "docker.CALL".
func ask[T any](ctx context.Context, call string, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	if err := failpoint.Hit("docker." + call); err != nil {
		var zero T
		return zero, err
	}
	defer failpoint.Span("docker." + call)()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result, err := do(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return result, timeoutError{call, limit}
	}
	return result, trimDaemon(err)
}

// askWhole is ask for a call that makes something: it goes on to its end, or
// its deadline, although ctx ends meanwhile. Cut off half way, the engine would
// go on and make an object after everything was undone.
func askWhole[T any](ctx context.Context, call string, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	if err := ctx.Err(); err != nil {
		var zero T
		return zero, err
	}
	return ask(context.WithoutCancel(ctx), call, limit, do)
}

// daemonError shortens the client's "Error response from daemon: …" and keeps
// the class of the error.
type daemonError struct{ cause error }

const daemonPrefix = "Error response from daemon: "

func (e daemonError) Error() string { return strings.TrimPrefix(e.cause.Error(), daemonPrefix) }
func (e daemonError) Unwrap() error { return e.cause }

func trimDaemon(err error) error {
	if err != nil && strings.HasPrefix(err.Error(), daemonPrefix) {
		return daemonError{err}
	}
	return err
}

func notFound(err error) bool { return err != nil && errdefs.IsNotFound(err) }

// nameTaken says that a name is in use: of a container when it is created, or
// of a network when it is created or, on engines that let two have one name,
// when a container on it starts. Engines from 28 on compare the address of a
// container with its network before they look at its name: one that is not in
// the network's range belongs to another run of the same name.
func nameTaken(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return errdefs.IsConflict(err) && (strings.Contains(text, "is already in use") || strings.Contains(text, "already exists")) ||
		strings.Contains(text, "matches found on name") || strings.Contains(text, "no configured subnet contains IP address")
}

// gone says that there was nothing to remove, or that somebody else is
// removing it just now.
func gone(err error) bool {
	return notFound(err) ||
		err != nil && errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress")
}

// unreachable says that the engine itself could not be asked.
func unreachable(err error) bool {
	return err != nil && (client.IsErrConnectionFailed(err) || errors.Is(err, syscall.ECONNREFUSED))
}

// olderAPI compares two API versions, "1.9" being older than "1.41".
func olderAPI(version, than string) bool {
	a, b := apiNumbers(version), apiNumbers(than)
	if a[0] != b[0] {
		return a[0] < b[0]
	}
	return a[1] < b[1]
}

func apiNumbers(version string) [2]int {
	major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	var numbers [2]int
	numbers[0], _ = strconv.Atoi(major)
	numbers[1], _ = strconv.Atoi(minor)
	return numbers
}
