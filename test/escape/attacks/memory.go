//go:build linux

package attacks

import "unsafe"

// addressOf is what a call is given of a value; the value outlives the call.
func addressOf(value *int32) uintptr { return uintptr(unsafe.Pointer(value)) }

// text is a path as calls take it.
func text(s string) uintptr {
	bytes := append([]byte(s), 0)
	kept = append(kept, bytes)
	return uintptr(unsafe.Pointer(&bytes[0]))
}

func addressOf64(value *uint64) uintptr { return uintptr(unsafe.Pointer(value)) }

func pointer(value *int32) unsafe.Pointer { return unsafe.Pointer(value) }
