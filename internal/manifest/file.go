package manifest

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ReadFile reads a regular file of at most maxFile bytes. The file may be
// named by a project that nobody trusts yet: a fifo does not block it, a
// device is not read, and what grows while it is read is refused. What says
// that it is empty is not read at all: the files of /proc do, and reading one
// of them may wait forever, or take from the host (/proc/kmsg, proc_kmsg(5)).
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case info.Size() == 0:
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxFile:
		return nil, fmt.Errorf("%s: larger than %d KiB", path, maxFile>>10)
	}
	return data, nil
}

// certificates returns the certificates of data as PEM and nothing else: no
// comments, no headers. What is no certificate is refused, above all a private
// key, which would enter the bottle with the roots.
func certificates(data []byte) (string, error) {
	var clean bytes.Buffer
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return "", fmt.Errorf("holds a %s; only certificates belong here", quote(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", errors.New("holds a certificate that cannot be read")
		}
		if err := pem.Encode(&clean, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
			return "", err
		}
	}
	if clean.Len() == 0 {
		return "", errors.New("holds no certificate (PEM)")
	}
	return clean.String(), nil
}
