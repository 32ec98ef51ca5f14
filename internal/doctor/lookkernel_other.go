//go:build !linux

package doctor

// LookAtKernel has nothing to read: bottles have the kernel of the engine's
// virtual machine.
func LookAtKernel() Kernel { return Kernel{} }
