package cli

import "io"

func filtered(w io.Writer) io.Writer { return w }

const ioctlGetTermios, ioctlSetTermios = 0x5401, 0x5402
