package bottle

import (
	"context"
	"encoding/json"
	"os"
	"strings"

	"github.com/google/renameio/v2"

	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/tree"
	"claude-bottle/internal/workspace"
)

// Directories of a run. work, git, home and record belong to the agent's uid;
// the files of etc are mounted one by one.
const (
	WorkDir   = "work"
	GitDir    = "git"
	HomeDir   = "home"
	EtcDir    = "etc"
	RecordDir = "record"
)

// HandoverDir is where the gateway of a bottle without a network waits for
// what its guest hands over (package handover). It is there during a launch
// alone.
const HandoverDir = "handover"

// NonceFile is where platforms keep the nonce that proves to the guest whose
// file system it sees.
const NonceFile = "nonce"

// snapshotFile is what work held before the agent started. That it exists says
// that work was copied whole. It is the launcher's, out of the bottle's reach.
const snapshotFile = "snapshot"

// Stage writes everything that a bottle starts with into the run's directory:
// the workspace and its git directory, skills, files. It is the same for
// every platform. The report says what of the workspace was left out. progress
// may be nil. What it made goes with the run's directory.
func Stage(
	ctx context.Context, run *runs.Run, plan Plan, progress func(files, bytes int64),
) (workspace.Report, error) {
	if err := StageFiles(ctx, run, plan); err != nil {
		return workspace.Report{}, err
	}
	return StageWork(ctx, run, plan, progress)
}

// StageFiles is the first part of Stage: all directories, those of the
// workspace empty, and what else there is of files.
func StageFiles(ctx context.Context, run *runs.Run, plan Plan) error {
	defer failpoint.Span("bottle.stage-files")()
	if err := failpoint.Hit("bottle.stage.dirs"); err != nil {
		return err
	}
	if err := makeDirs(run, plan.Spec); err != nil {
		return err
	}
	if err := failpoint.Hit("bottle.stage.files"); err != nil {
		return err
	}
	return stageFiles(ctx, run, plan.Spec)
}

// StageWork is the second part, which may take long. The directories stay those
// that they are, so that they can be mounted before.
func StageWork(
	ctx context.Context, run *runs.Run, plan Plan, progress func(files, bytes int64),
) (workspace.Report, error) {
	defer failpoint.Span("bottle.stage-work")()
	if err := failpoint.Hit("bottle.stage.work"); err != nil {
		return workspace.Report{}, err
	}
	return stageWork(ctx, run, plan.Spec, progress)
}

// makeDirs makes the run's directories, each closed to everybody else, and in
// them the directories that others are mounted on: made by an engine, those
// would be root's.
func makeDirs(run *runs.Run, spec Spec) error {
	dirs := []string{RecordDir, EtcDir, GitDir, HomeDir, WorkDir, WorkDir + "/.git"}
	if below, ok := strings.CutPrefix(spec.Workspace, spec.Home+"/"); ok {
		dirs = append(dirs, HomeDir+"/"+below)
	}
	for _, name := range dirs {
		if err := run.MakeDir(name, 0o700, spec.UID, spec.GID); err != nil {
			return err
		}
	}
	return nil
}

// stageFiles writes the files, then the skills, which may not be where a file
// is.
func stageFiles(ctx context.Context, run *runs.Run, spec Spec) error {
	if err := provision.Write(run.Dir(), spec.Files, spec.UID, spec.GID); err != nil {
		return err
	}
	for _, skill := range spec.Trees {
		_, err := workspace.CopyTree(ctx, workspace.TreeOptions{
			Source: skill.Source, Root: run.Path(string(skill.Root)), Path: skill.Path,
			UID: spec.UID, GID: spec.GID,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stageWork copies the workspace and remembers what it holds.
func stageWork(
	ctx context.Context, run *runs.Run, spec Spec, progress func(files, bytes int64),
) (workspace.Report, error) {
	var report workspace.Report
	if spec.Cwd != "" {
		var err error
		report, err = workspace.CopyIn(ctx, workspace.CopyOptions{
			Source: spec.Cwd, Work: run.Path(WorkDir), Git: run.Path(GitDir),
			UID: spec.UID, GID: spec.GID, Progress: progress,
		})
		if err != nil {
			return report, err
		}
	}
	return report, remember(ctx, run)
}

// remember saves what work holds. The file has its name only when it is whole,
// since the name says that work was copied.
func remember(ctx context.Context, run *runs.Run) error {
	snapshot, err := workspace.TakeSnapshot(ctx, run.Path(WorkDir))
	if err != nil {
		return err
	}
	draft := run.Path(snapshotFile + ".next")
	if err := snapshot.Save(draft); err != nil {
		return err
	}
	if err := failpoint.Hit("bottle.stage.snapshot"); err != nil {
		return err
	}
	return os.Rename(draft, run.Path(snapshotFile))
}

// writeJSON replaces the file as a whole.
func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, data, 0o600)
}

// jsonMax is how long a file of a run may be that is read as a whole, in bytes.
const jsonMax = 1 << 20

func readJSON(path string, v any) error {
	data, err := tree.ReadFile(path, jsonMax)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}
