// Package confine is the seccomp filter that a part of the binary puts on
// itself, and on all that it ever starts: seccomp(2) with
// SECCOMP_FILTER_FLAG_TSYNC and no-new-privileges. A bottle's guest does so
// before anything else runs inside. The filter lies on top of the engine's
// own, of which the stricter answer to each call counts; where no engine is
// below, it is the only one.
//
// A policy is a table. What it refuses has a row: the calls, under which
// arguments, the errno, and which attack that stops. What it allows is listed
// by name. Whatever is in neither list does not exist: ENOSYS, as on an older
// kernel, so a call that Linux will grow next year is closed until somebody
// decides, and programs that try it take the way they took before. A test
// holds that every call that golang.org/x/sys/unix knows is decided.
//
// A program of another ABI (i386 and x32 on amd64, arm on arm64) numbers the
// calls differently, and i386 has socketcall(2), whose arguments no filter
// can read: the first such call of i386 or arm kills the process; x32, which
// few kernels have, is ENOSYS.
//
// Arguments that the kernel takes as an int are compared by their low word,
// as the kernel does, whatever is in the high one. A filter that compared all
// 64 bits could be gone around by setting one that the kernel ignores
// (CVE-2019-10063).
//
// The errno is the one that programs expect there: EPERM where the kernel
// would ask for a privilege, ENOSYS or a missing protocol where it may have
// been built without, so that programs take their next best way.
//
// The programs are assembled by golang.org/x/net/bpf. Libraries that compile
// whole policies were looked at: they compare all 64 bits of an argument, let
// foreign ABIs through to the default, or cost every start of the binary a
// quarter of a millisecond for tables of architectures that it never is.
package confine
