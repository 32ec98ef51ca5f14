package docker

import (
	"archive/tar"
	"io"
	"io/fs"
	"os"
	"path"
)

// addTree adds what lies below dir of root to w, under tree/. Links stay
// links and are never followed; what is neither file, directory nor link is
// left out.
func addTree(w *tar.Writer, root *os.Root, dir string) error {
	return fs.WalkDir(root.FS(), dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		header := &tar.Header{Name: path.Join("tree", name), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
		switch {
		case info.IsDir():
			header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		case info.Mode()&fs.ModeSymlink != 0:
			header.Typeflag = tar.TypeSymlink
			if header.Linkname, err = root.Readlink(name); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			header.Typeflag, header.Size = tar.TypeReg, info.Size()
		default:
			return nil
		}
		if err := w.WriteHeader(header); err != nil || header.Typeflag != tar.TypeReg {
			return err
		}
		file, err := root.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		_, err = io.CopyN(w, file, info.Size())
		return err
	})
}
