//go:build linux

package confine

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func architectures() []architecture { return []architecture{amd64(), arm64()} }

// TestEveryCallIsDecided fails when the kernel has grown a call: allow it, or
// give it a row.
func TestEveryCallIsDecided(t *testing.T) {
	for _, arch := range architectures() {
		verdicts, err := Bottle().verdicts(arch)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range arch.calls {
			v := verdicts[c.number]
			always := slices.ContainsFunc(v.rows, func(r *Row) bool { return len(r.When) == 0 })
			switch {
			case !v.allow && len(v.rows) == 0:
				t.Errorf("%s: %s is undecided", arch.name, c.name)
			case v.allow == always:
				t.Errorf("%s: %s: allowed %v, refused without condition %v", arch.name, c.name, v.allow, always)
			}
		}
	}
}

func TestNamesAreCalls(t *testing.T) {
	for _, p := range []Policy{
		{Name: "typo", Allowed: []Family{{"f", "read raed"}}},
		{Name: "typo", Refused: []Row{{Name: "r", Calls: "pt_race"}}},
	} {
		if _, err := p.compile(native()); err == nil || !strings.Contains(err.Error(), "no such call") {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// data is struct seccomp_data.
type data struct {
	number, arch uint32
	args         [6]uint64
}

// run gives the program's answer. The machine of x/net/bpf reads big-endian
// words where the kernel reads its own, so the words are big-endian here.
func run(t rapid.TB, vm *bpf.VM, d data) uint32 {
	t.Helper()
	words := []uint32{d.number, d.arch, 0x7fff, 0}
	for _, arg := range d.args {
		words = append(words, uint32(arg), uint32(arg>>32))
	}
	var packet []byte
	for _, word := range words {
		packet = binary.BigEndian.AppendUint32(packet, word)
	}
	got, err := vm.Run(packet)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

func machineFor(t testing.TB, p Policy, arch architecture) *bpf.VM {
	t.Helper()
	raw, err := p.compile(arch)
	if err != nil {
		t.Fatal(err)
	}
	program, complete := bpf.Disassemble(raw)
	if !complete {
		t.Fatal("an instruction that is none")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > unix.BPF_MAXINSNS {
		t.Fatalf("%d instructions", len(raw))
	}
	return vm
}

// expected reads the table as a person would, call by call.
func expected(p Policy, arch architecture, d data) uint32 {
	if d.arch != arch.audit {
		return unix.SECCOMP_RET_KILL_PROCESS
	}
	none := unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	i := slices.IndexFunc(arch.calls, func(c call) bool { return uint32(c.number) == d.number })
	if i < 0 {
		return none
	}
	name := arch.calls[i].name
	for _, row := range p.Refused {
		applies := slices.Contains(strings.Fields(row.Calls), name)
		for _, c := range row.When {
			word := uint32(d.args[c.Argument]) & c.Mask
			applies = applies && slices.Contains(c.Values, word) != c.Except
		}
		if applies {
			return unix.SECCOMP_RET_ERRNO | uint32(row.Errno)
		}
	}
	for _, family := range p.Allowed {
		if slices.Contains(strings.Fields(family.Calls), name) {
			return unix.SECCOMP_RET_ALLOW
		}
	}
	return none
}

// TestProgramSaysWhatTheTableSays, for every number, and for arguments near
// those that matter, with anything in their high words.
func TestProgramSaysWhatTheTableSays(t *testing.T) {
	p := Bottle()
	for _, arch := range architectures() {
		t.Run(arch.name, func(t *testing.T) {
			vm := machineFor(t, p, arch)
			for number := range uint32(2000) {
				d := data{number: number, arch: arch.audit}
				if got, want := run(t, vm, d), expected(p, arch, d); got != want {
					t.Errorf("%+v: %#x, want %#x", d, got, want)
				}
			}
			var words []uint32
			var conditional []string
			for _, row := range p.Refused {
				for _, c := range row.When {
					words = append(words, c.Values...)
					words = append(words, c.Mask)
					conditional = append(conditional, strings.Fields(row.Calls)...)
				}
			}
			rapid.Check(t, func(t *rapid.T) {
				number := rapid.Uint32().Draw(t, "number")
				if rapid.Bool().Draw(t, "conditional") {
					name := rapid.SampledFrom(conditional).Draw(t, "name")
					if i := slices.IndexFunc(arch.calls, func(c call) bool { return c.name == name }); i >= 0 {
						number = uint32(arch.calls[i].number)
					}
				}
				d := data{number: number, arch: rapid.SampledFrom([]uint32{
					arch.audit, arch.audit, arch.audit, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM,
				}).Draw(t, "arch")}
				for i := range d.args {
					low := rapid.OneOf(rapid.SampledFrom(words), rapid.Uint32Range(0, 300), rapid.Uint32()).Draw(t, "low")
					high := rapid.OneOf(rapid.Just(uint32(0)), rapid.Just(^uint32(0)), rapid.Uint32()).Draw(t, "high")
					d.args[i] = uint64(high)<<32 | uint64(low)
				}
				if got, want := run(t, vm, d), expected(p, arch, d); got != want {
					t.Fatalf("%+v: %#x, want %#x", d, got, want)
				}
			})
		})
	}
}

// TestForeignCallsInTheTable: x32 numbers have a bit of their own, and those
// from 512 to 547 are x32's without it.
func TestForeignCallsInTheTable(t *testing.T) {
	arch := amd64()
	vm := machineFor(t, Bottle(), arch)
	for _, c := range arch.calls {
		d := data{number: uint32(c.number) | 0x40000000, arch: arch.audit}
		if got := run(t, vm, d); got != unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS) {
			t.Errorf("x32 %s: %#x", c.name, got)
		}
	}
	for _, number := range []uint32{512, 520, 547, 1 << 31, ^uint32(0)} {
		if got := run(t, vm, data{number: number, arch: arch.audit}); got != unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS) {
			t.Errorf("number %d: %#x", number, got)
		}
	}
}

// TestLongPrograms need more than a conditional jump's reach.
func TestLongPrograms(t *testing.T) {
	arch := native()
	var p Policy
	for i, c := range arch.calls { // no two neighbours alike
		p.Refused = append(p.Refused, Row{Name: c.name, Calls: c.name, Errno: unix.Errno(1 + i%100)})
	}
	vm := machineFor(t, p, arch)
	for _, c := range arch.calls {
		d := data{number: uint32(c.number), arch: arch.audit}
		if got, want := run(t, vm, d), expected(p, arch, d); got != want {
			t.Errorf("%s: %#x, want %#x", c.name, got, want)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Bottle().compile(native()); err != nil {
			b.Fatal(err)
		}
	}
}
