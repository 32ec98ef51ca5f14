package term

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// filtered is what comes out for input, in one write.
func filtered(input string) string {
	var out bytes.Buffer
	_, _ = NewFilter(&out, true).Write([]byte(input))
	return out.String()
}

func TestFilterPassesFullScreenPrograms(t *testing.T) {
	for name, input := range map[string]string{
		"text":            "héllo, wörld ✳ 你好 👩‍💻\r\n\ttab\b\a\v\f",
		"colour":          "\x1b[1;38;5;208;48;2;1;2;3mx\x1b[4:3mx\x1b[58:2::1:2:3mx\x1b[0m\x1b[m",
		"cursor":          "\x1b[H\x1b[12;40H\x1b[2A\x1b[B\x1b[10C\x1b[1D\x1b[5G\x1b[3d\x1b[12;40f\x1b[s\x1b[u\x1b7\x1b8\x1bM",
		"erase":           "\x1b[J\x1b[2J\x1b[3J\x1b[K\x1b[1K\x1b[2K\x1b[?J\x1b[4X",
		"insert, delete":  "\x1b[L\x1b[2M\x1b[3P\x1b[4@\x1b[S\x1b[2T\x1b[5;20r\x1b[r\x1b[4h\x1b[4l\x1b[7b",
		"vim's start":     "\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h\x1b[?25l\x1b[>4;2m\x1b[1;24r\x1b(B\x1b[m",
		"vim's end":       "\x1b[?2004l\x1b[>4;m\x1b[?1l\x1b>\x1b[?25h\x1b[?1049l",
		"mouse":           "\x1b[?1000h\x1b[?1002h\x1b[?1003h\x1b[?1006h\x1b[?1000;1002;1003;1006l\x1b[?1004h",
		"claude's start":  "\x1b[?2004h\x1b[?1004h\x1b[?2031h\x1b[?25l\x1b[?2026h\x1b[?2026l\x1b[>1u\x1b[<u\x1b[=1;1u",
		"queries":         "\x1b[c\x1b[0c\x1b[>c\x1b[>0q\x1b[5n\x1b[6n\x1b[?6n\x1b[?996n\x1b[?2026$p\x1b[4$p\x1b[?u",
		"ncurses' lines":  "\x1b(0lqk\x1b(B\x0eq\x0f",
		"cursor's shape":  "\x1b[5 q\x1b[0 q",
		"reset":           "\x1bc\x1b[!p",
		"progress":        "\x1b]9;4;1;50\a",
		"title":           "\x1b]0;✳ Fix the build\a\x1b]2;vim\a",
		"colours' query":  "\x1b]11;?\a\x1b]10;?\a",
		"tabs":            "\x1bH\x1b[g\x1b[3g\x1b[2I\x1b[Z",
		"question marks?": "?\uFFFD",
	} {
		if got := filtered(input); got != input {
			t.Errorf("%s: %q became %q", name, input, got)
		}
	}
}

// refused are sequences of which not one byte of control may come out, with
// what harmless text is left of them.
var refused = []struct{ name, input, left string }{
	{"clipboard write", "\x1b]52;c;cm0gLXJmIH4K\a", ""},
	{"clipboard write, ST", "\x1b]52;c;cm0gLXJmIH4K\x1b\\", ""},
	{"clipboard read", "\x1b]52;c;?\a", ""},
	{"clipboard of kitty", "\x1b]5522;type=write\a", ""},
	{"title query", "\x1b[21t", ""},
	{"icon query", "\x1b[20t", ""},
	{"window size query", "\x1b[18t\x1b[14t\x1b[11t\x1b[13t\x1b[19t", ""},
	{"resize, move, minimise", "\x1b[8;1;1t\x1b[3;0;0t\x1b[2t\x1b[9;1t", ""},
	{"title stack", "\x1b[22;0t\x1b[23;0t", ""},
	{"answerback", "\x05", ""},
	{"identify", "\x1bZ", ""},
	{"unit id", "\x1b[=c", ""},
	{"parameters", "\x1b[x\x1b[1x", ""},
	{"status string", "\x1bP$q\"p\x1b\\", ""},
	{"termcap", "\x1bP+q544e\x1b\\", ""},
	{"user keys", "\x1bP1;1|17/6c730a\x1b\\", ""},
	{"sixel", "\x1bPq#0;2;0;0;0~~\x1b\\", ""},
	{"tmux passthrough", "\x1bPtmux;\x1b\x1b]52;c;eA==\a\x1b\\", ""},
	{"screen passthrough", "\x1bP\x1b]52;c;eA==\a\x1b\\", ""},
	{"application command", "\x1b_Gf=100,t=f;L2V0Yy9wYXNzd2Q=\x1b\\", ""},
	{"privacy message", "\x1b^x\x1b\\", ""},
	{"start of string", "\x1bXx\x1b\\", ""},
	{"screen's title", "\x1bkevil\x1b\\", ""},
	{"colour set", "\x1b]11;#000000\a\x1b]10;#000000\a\x1b]4;1;red\a\x1b]12;red\a", ""},
	{"colour query of the palette", "\x1b]4;1;?\a", ""},
	{"two queries in one", "\x1b]11;?;?\a", ""},
	{"link", "\x1b]8;;https://example.com/?leak\x1b\\text\x1b]8;;\x1b\\", "text"},
	{"directory", "\x1b]7;file:///tmp/evil\a", ""},
	{"font", "\x1b]50;?\a\x1b]50;evil\a", ""},
	{"log file", "\x1b]46;/home/me/.bashrc\a", ""},
	{"property", "\x1b]3;X=y\a", ""},
	{"shell marks", "\x1b]133;A\a\x1b]633;E;rm\a", ""},
	{"notification", "\x1b]9;pay now\a\x1b]777;notify;a;b\a\x1b]99;;hi\x1b\\", ""},
	{"macro of ConEmu", "\x1b]9;6;GuiMacro\a", ""},
	{"iTerm file", "\x1b]1337;File=name=eA==;inline=1:AAAA\a", ""},
	{"iTerm variable", "\x1b]1337;ReportVariable=eA==\a", ""},
	{"printer", "\x1b[5i\x1b[i\x1b[?5i", ""},
	{"checksum", "\x1b[1;1;1;1;24;80*y", ""},
	{"rectangle", "\x1b[1;1;24;80$x\x1b[65;1;1;2;2$x", ""},
	{"highlight tracking", "\x1b[?1001h\x1b[1;1;1;1;1T", ""},
	{"keyboard lock", "\x1b[2h", ""},
	{"local echo", "\x1b[12l", ""},
	{"VT52", "\x1b[?2l", ""},
	{"132 columns", "\x1b[?40h\x1b[?3h", ""},
	{"saved modes", "\x1b[?1049s\x1b[?1049r", ""},
	{"conformance level", "\x1b[62\"p\x1b[61;0\"p", ""},
	{"8-bit answers", "\x1b G", ""},
	{"other encoding", "\x1b%@\x1b%G", ""},
	{"graphics query", "\x1b[?1;1;0S", ""},
	{"memory lock", "\x1bl", ""},
	{"rxvt graphics", "\x1bGQ", "Q"}, // CVE-2021-33477
	{"lights", "\x1b[1q", ""},
	{"locator", "\x1b[1'z\x1b['|", ""},
	{"zero, delete, flow control", "\x00\x7f\x11\x13", ""},
	{"8-bit CSI in UTF-8", "\u009b21t", "21t"},
	{"8-bit CSI, raw", "\x9b21t", "?21t"},
	{"8-bit OSC in UTF-8", "\u009d52;c;eA==\u009c", "52;c;eA=="},
	{"8-bit DCS, raw", "\x90$q\x9c", "?$q?"},
	{"overlong CSI", "\xc1\x9b21t", "??21t"},
	{"overlong, three bytes", "\xe0\x82\x9b21t", "???21t"},
	{"overlong ESC", "\xc1\x9b\xc0\x9b[21t", "????[21t"},
	{"half a character before ESC", "\xe2\x1b[21t\xe2\x9b", "?"},
	{"cut off by ESC", "\x1b[2\x1b[21t", ""},
	{"inside a string", "\x1b]0;a\x1b]52;c;eA==\a", ""},
	{"inside a string, CAN", "\x1b]0;a\x18\x1b]52;c;eA==\a", ""},
	{"inside a string, SUB", "\x1b]0;a\x1a52;c;eA==\a", "52;c;eA==\a"},
	{"control inside a sequence", "\x1b[2\b1t", "\b1t"},
	{"return inside a sequence", "\x1b[\r21t", "\r21t"},
	{"title of many lines", "\x1b]0;a\nrm -rf ~\n\a", ""},
	{"title with a control character", "\x1b]0;a\u009b21t\a", ""},
	{"title that turns the text", "\x1b]0;\u202egpj.exe\a", ""},
	{"title without end", "\x1b]0;" + strings.Repeat("a", 1<<20) + "\a", ""},
	{"prefix in the middle", "\x1b[1?49h\x1b[?1;?49h", ""},
	{"numbers without end", "\x1b[99999999999A\x1b[" + strings.Repeat("1;", 5000) + "m", ""},
	{"sub-parameters where there are none", "\x1b[6:1n\x1b[21:1t\x1b[?1:2h", ""},
	{"intermediates without end", "\x1b" + strings.Repeat(" ", 5000) + "8", ""},
}

func TestFilterRefuses(t *testing.T) {
	for _, test := range refused {
		if got := filtered(test.input); got != test.left {
			t.Errorf("%s: %q left %q, want %q", test.name, test.input, got, test.left)
		}
	}
}

func TestFilterKeepsWhatIsAllowedOfManyModes(t *testing.T) {
	if got, want := filtered("\x1b[?1049;2;40;25h"), "\x1b[?1049;25h"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFilterDoesNotCareForWrites(t *testing.T) {
	inputs := []string{"é\x1b[1;31mX\x1b]0;t\x1b\\\x1b[?1049hz\u009b", "\xf0\x9f\x92"}
	for _, test := range refused {
		if len(test.input) < 200 {
			inputs = append(inputs, test.input)
		}
	}
	for _, input := range inputs {
		for split := range len(input) {
			var out bytes.Buffer
			f := NewFilter(&out, true)
			_, _ = f.Write([]byte(input[:split]))
			_, _ = f.Write([]byte(input[split:]))
			if out.String() != filtered(input) {
				t.Errorf("%q split at %d: %q, want %q", input, split, out.String(), filtered(input))
			}
		}
	}
}

func TestFilterForATerminalWithoutUTF8(t *testing.T) {
	var out bytes.Buffer
	f := NewFilter(&out, false)
	// The letter is C4 9B in UTF-8, and 9B is CSI there.
	_, _ = f.Write([]byte("ě21t\xe9\x1b]0;ě\a"))
	if got, want := out.String(), "\xc421t\xe9"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSpeaksUTF8(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{}, true},
		{map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "C"}, true},
		{map[string]string{"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.ISO-8859-1"}, false},
		{map[string]string{"LC_CTYPE": "de_DE.iso88591@euro"}, false},
		{map[string]string{"LC_ALL": "en_US.utf8@x"}, true},
	} {
		if got := SpeaksUTF8(func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("%v: %v", test.env, got)
		}
	}
}

func TestFilterUndoesWhatABottleLeft(t *testing.T) {
	for _, test := range []struct{ name, input, want string }{
		{"nothing", "text\r\n", ""},
		{"undone by itself", "\x1b[?1049h\x1b[?25l\x1b[31m\x1b[0m\x1b[?25h\x1b[?1049l\x1b[>1u\x1b[<u", ""},
		{"killed in the middle", "\x1b[?1049h\x1b[?25l\x1b[?1006h\x1b[31m", "\x1b[m\x1b[?1006l\x1b[?25h\x1b[?1049l"},
		{"keyboard", "\x1b[>1u\x1b[>4;2m\x1b=\x1b[?1h\x1b[?2004h", "\x1b[<1u\x1b[>4m\x1b>\x1b[?2004l\x1b[?1l"},
		{"the rest", "\x1b(0\x1b[2;5r\x1b[3 q\x1b]9;4;1;5\a\x1b[4h\x1b[?7l", "\x1b[4l\x0f\x1b(B\x1b)B\x1b7\x1b[r\x1b8\x1b[0 q\x1b]9;4;0\a\x1b[?7h\x1b[J"},
		{"text beside what comes next", "\x1b[9;60Hfrom a bottle\x1b[9;1H", "\x1b[J"},
		{"text below it", "\n\nfrom a bottle\x1bM\x1bM\r", "\x1b[J"},
		{"reset", "\x1b[?1049h\x1b[31m\x1bc", ""},
		{"unfinished", "\x1b]0;never en", ""},
	} {
		var out bytes.Buffer
		f := NewFilter(&out, true)
		_, _ = f.Write([]byte(test.input))
		out.Reset()
		if err := f.Close(); err != nil || out.String() != test.want {
			t.Errorf("%s: %q %v, want %q", test.name, out.String(), err, test.want)
		}
		out.Reset()
		if _ = f.Close(); out.Len() != 0 {
			t.Errorf("%s: undone twice: %q", test.name, out.String())
		}
		_, _ = f.Write([]byte("on"))
		if out.String() != "on" {
			t.Errorf("%s: text after Close: %q", test.name, out.String())
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestFilterReportsTheTerminalsError(t *testing.T) {
	if n, err := NewFilter(broken{}, true).Write([]byte("x")); err == nil || n != 0 {
		t.Errorf("%d %v", n, err)
	}
	if n, err := NewFilter(broken{}, true).Write([]byte("\x05")); err != nil || n != 1 {
		t.Errorf("nothing to write: %d %v", n, err)
	}
}

// allowed is what a terminal may get, written down a second time and in
// another way than the filter's tables.
var allowed = regexp.MustCompile(`^(?:` + strings.Join([]string{
	`[\x07-\x0f\x20-\x7e]`,
	`[^\x00-\x{9f}]`,
	`\x1b[78DEMH=>c]`,
	`\x1b[()][0AB]`,
	`\x1b\[[0-9;]*[A-Z@abdefgrsu` + "`" + `]`,
	`\x1b\[[0-9;:]*m`,
	`\x1b\[(4;?)+[hl]`,
	`\x1b\[\?(0*(1|5|6|7|9|12|25|45|47|66|69|100[0234567]|101[56]|1034|104[789]|2004|2026|2027|2031);?)+[hl]`,
	`\x1b\[\?[0-9]*[JK]`,
	`\x1b\[[0-9]* q`, `\x1b\[!p`, `\x1b\[>0*4(;[0-9]*)?m`,
	`\x1b\[[<>][0-9:]*u`, `\x1b\[=[0-9:]*(;[0-9:]*)?u`, `\x1b\[\?u`,
	`\x1b\[>?0*c`, `\x1b\[>0*q`, `\x1b\[0*[56]n`, `\x1b\[\?0*(6|996)n`, `\x1b\[\??[0-9]*\$p`,
	`\x1b\]1[01];\?\x07`, `\x1b\]9;4;[0-4](;[0-9]{1,3})?\x07`,
	`\x1b\][012];[^\x00-\x1f\x7f-\x{9f}]*\x07`,
}, `|`) + `)*$`)

// terrible are finals of CSI without prefix that allowed's range lets by.
var terrible = regexp.MustCompile(`\x1b\[[0-9;]*[NOQRUVWY]|\x1b\[[0-9]*;[0-9;]*T`)

func FuzzFilter(f *testing.F) {
	for _, test := range refused {
		if len(test.input) < 1000 {
			f.Add([]byte(test.input), 3)
		}
	}
	f.Add([]byte("\x1b[?1049;25h✳\x1b[38;2;1;2;3mx\x1b]0;t\a\x1b[>4;2m\x1b[5 q"), 7)
	f.Fuzz(func(t *testing.T, input []byte, split int) {
		var out bytes.Buffer
		filter := NewFilter(&out, true)
		cut := len(input)
		if split > 0 && len(input) > 0 {
			cut = split % len(input)
		}
		_, _ = filter.Write(input[:cut])
		_, _ = filter.Write(input[cut:])
		got := out.String()
		if len(got) > len(input) {
			t.Errorf("%q became longer: %q", input, got)
		}
		if !utf8.ValidString(got) || !allowed.MatchString(got) || terrible.MatchString(got) {
			t.Errorf("%q let %q through", input, got)
		}
		if again := filtered(got); again != got {
			t.Errorf("%q, filtered again %q", got, again)
		}
		if cap(filter.seq) > maxSequence || len(filter.modes.private) > len(privateModes) {
			t.Errorf("holds %d and %d", cap(filter.seq), len(filter.modes.private))
		}
		out.Reset()
		_ = filter.Close()
		if undo := out.String(); filtered(undo) != undo {
			t.Errorf("undoes with what is refused: %q", undo)
		}
	})
}
