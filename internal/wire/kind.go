package wire

import "fmt"

// Kind says what a frame is. The numbers are the protocol: never reuse one.
type Kind byte

// Kinds of frames, and who sends them.
const (
	// KindError: either server; text of what failed. The conversation is over.
	KindError Kind = 1
	// KindReady: either server, once it has done what its boot frame asks.
	KindReady Kind = 2
	// KindGuestBoot: launcher to guest, a GuestBoot.
	KindGuestBoot Kind = 3
	// KindGatewayBoot: launcher to gateway, a GatewayBoot.
	KindGatewayBoot Kind = 4
	// KindProbe: launcher; to a guest a Probe, to a gateway a GatewayProbe.
	KindProbe Kind = 5
	// KindProbed: either server; a Probed.
	KindProbed Kind = 6
	// KindSettle: launcher to gateway, a Settle. Ready answers it.
	KindSettle Kind = 7
	// KindRenewed: gateway; a Renewed, which ends its turn.
	KindRenewed Kind = 8
	// KindRenew: gateway, at any time after it is settled; a Renew. KindTurn
	// answers it.
	KindRenew Kind = 9
	// KindTurn: launcher to gateway, a Turn.
	KindTurn Kind = 10

	// KindStart: launcher; a Start. Everything up to its exit is about it.
	KindStart Kind = 16
	// KindStdin: launcher; bytes for the process, at most what KindWindow
	// granted.
	KindStdin Kind = 17
	// KindStdinEOF: launcher; there will be no more input.
	KindStdinEOF Kind = 18
	// KindResize: launcher; a Size.
	KindResize Kind = 19
	// KindSignal: launcher; a signal's name, see SignalName.
	KindSignal Kind = 20
	// KindCloseOutput: launcher; nobody reads what the process prints any
	// longer, which it shall notice as on a closed pipe. One byte, KindStdout
	// or KindStderr.
	KindCloseOutput Kind = 21
	// KindWindow: guest; this many bytes more of input (4 bytes, big-endian).
	KindWindow Kind = 22
	// KindStdout and KindStderr: guest; bytes that the process printed.
	KindStdout Kind = 23
	KindStderr Kind = 24
	// KindExit: guest; an Exit, the last frame about a process.
	KindExit Kind = 25

	// KindAllow: a person, over a control stream to a gateway; an Allow.
	// KindChanged answers it.
	KindAllow Kind = 32
	// KindReplace: the same; a Replace. KindChanged answers it.
	KindReplace Kind = 33
	// KindChanged: gateway; a Changed.
	KindChanged Kind = 34
	// KindCounters: a person; asks for the counters. KindCounted answers it.
	KindCounters Kind = 35
	// KindCounted: gateway; a text, as a JSON string.
	KindCounted Kind = 36
	// KindFollow: a person; asks for the record, line by line.
	KindFollow Kind = 37
	// KindRecorded: gateway; one line of the record.
	KindRecorded Kind = 38
	// KindAttend: a person; is there to answer questions.
	KindAttend Kind = 39
	// KindQuestion: gateway; a Question.
	KindQuestion Kind = 40
	// KindAnswer: a person; an Answer.
	KindAnswer Kind = 41
)

// Bounds of a payload, in bytes.
const (
	// MaxData is that of a frame of bytes.
	MaxData = 64 << 10
	// MaxControl is that of a JSON message.
	MaxControl = 1 << 20
	// MaxText is that of an error's text.
	MaxText = 16 << 10
)

// InputWindow is how many bytes of input a guest takes from the start of a
// process on, before it grants more. It bounds what the guest holds for a
// process that does not read, so that a signal or a resize is never stuck
// behind its input.
const InputWindow = 256 << 10

// limit is the largest payload of a kind; false for a kind that is unknown.
func (k Kind) limit() (int, bool) {
	switch k {
	case KindError:
		return MaxText, true
	case KindReady, KindGuestBoot, KindGatewayBoot, KindProbe, KindProbed, KindSettle, KindStart, KindExit,
		KindAllow, KindReplace, KindChanged, KindCounters, KindCounted, KindFollow, KindRecorded,
		KindRenewed, KindRenew, KindTurn, KindAttend, KindQuestion, KindAnswer:
		return MaxControl, true
	case KindStdin, KindStdout, KindStderr:
		return MaxData, true
	case KindResize, KindSignal:
		return 64, true
	case KindWindow:
		return 4, true
	case KindCloseOutput:
		return 1, true
	case KindStdinEOF:
		return 0, true
	}
	return 0, false
}

var kindNames = map[Kind]string{
	KindError: "error", KindReady: "ready", KindGuestBoot: "guest boot", KindGatewayBoot: "gateway boot",
	KindProbe: "probe", KindProbed: "probed", KindSettle: "settle",
	KindStart: "start", KindStdin: "stdin", KindStdinEOF: "stdin eof", KindResize: "resize", KindSignal: "signal",
	KindCloseOutput: "close output", KindWindow: "window", KindStdout: "stdout", KindStderr: "stderr", KindExit: "exit",
	KindAllow: "allow", KindReplace: "replace", KindChanged: "changed", KindCounters: "counters", KindCounted: "counted",
	KindRenewed: "renewed", KindRenew: "renew", KindTurn: "turn",
	KindFollow: "follow", KindRecorded: "recorded", KindAttend: "attend", KindQuestion: "question", KindAnswer: "answer",
}

// String is the kind's name, or its number where it is unknown.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", byte(k))
}
