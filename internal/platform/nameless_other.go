//go:build !linux

package platform

import (
	"errors"
	"io"
	"os"
)

func openNameless(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func fillNameless(*os.File, io.Reader, string) error { return errors.ErrUnsupported }
