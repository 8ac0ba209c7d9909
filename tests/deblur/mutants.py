"""mutants.py SOURCE [NAME...]: does the comparison with NumPy see the faults that deconvolutions are known for?

Each mutant is one of them, put into a copy of the sources; the copy is built and methods.py run on it.  Asked of each: the
unchanged program passes; the broken one fails, by comparisons with NumPy, or, where the program's own test of the adjoint
already ends its runs, by that."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

PROBLEM, LINEAR, LUCY = ('src/deblur/filters/%s.c' % f for f in ('problem', 'linear', 'richardson_lucy'))
CENTRE = [('at0', 'wrap(r->i0 + c[0], m[0])', 'wrap(r->i0 + c[0] + 1, m[0])'),
          ('at1', 'wrap(r->i1 + c[1], m[1])', 'wrap(r->i1 + c[1] + 1, m[1])'),
          ('at2', 'r->at[wrap(k - c[2], m[2])]', 'r->at[wrap(k - c[2] + 1, m[2])]')]
H_H = """            const double reg = w[k] > 0 ? 1 / w[k] - (double)h[k] * h[k] - (double)h[LANES + k] * h[LANES + k] : 0;
            const double br = (double)h[k] * h[k] - (double)h[LANES + k] * h[LANES + k] + reg, bi = 2.0 * h[k] * h[LANES + k];
            const double bb = w[k] > 0 ? br * br + bi * bi : 1, on = w[k] > 0;
            const double nr = on * ((double)at[k] * h[k] + (double)at[LANES + k] * h[LANES + k]),
                         ni = on * ((double)at[LANES + k] * h[k] - (double)at[k] * h[LANES + k]);
            at[k] = (real)((nr * br + ni * bi) / bb);
            at[LANES + k] = (real)((ni * br - nr * bi) / bb);
"""
ADJOINT = ('q = {p, p->otf, adjoint}', 'q = {p, p->otf, false}')
# name: what it is, whether the program's own test of the adjoint may end its runs, and edits (file, from, to).
MUTANTS = {
    'none': ('nothing changed', False, []),
    'h2_filters': ('H^2 for |H|^2 below a linear filter', False,
                   [(LINEAR, re.compile(r' {12}const double hr = (?:.*\n){4}'), H_H)]),
    'h2_weights': ('real part of H^2 for |H|^2 in the weights', False, [(LINEAR, 're * re + im * im', 're * re - im * im')]),
    'forward_filters': ('H for conj(H) above a linear filter', False,
                        [(LINEAR, '(real)(re * hr + im * hi)', '(real)(re * hr - im * hi)'),
                         (LINEAR, '(real)(im * hr - re * hi)', '(real)(im * hr + re * hi)')]),
    'adjoint': ('PSF of the adjoint not reversed', True, [(PROBLEM, *ADJOINT)]),
    'adjoint_unseen': ('the same, and the test of the adjoint left out', False,
                       [(PROBLEM, *ADJOINT), (PROBLEM, '!(p->adjoint_error <= REAL_MAX_ADJ)', 'false')]),
    'adjoint_lucy': ('PSF of the adjoint not reversed in the steps of Richardson-Lucy alone', False,
                     [(LUCY, 'problem_times(p, true)', 'problem_times(p, false)')]),
    **{'centre_%s' % n[-1]: ('centre off by one on axis %s of the frame' % n[-1], False, [(PROBLEM, a, b)]) for n, a, b in CENTRE},
    'centre_ones': ('centre off by one in H^T 1', False,
                    [(PROBLEM, '- u + p->psf.centre[axis];', '- u + p->psf.centre[axis] + 1;')]),
    'window': ('observed samples off by one in the unknown object', False,
               [('src/deblur/geometry.c', 'o = p - 1 - c;', 'o = p - 1 - c > 0 ? p - 2 - c : 0;')]),
}


def edit(root, edits):
    """Returns what stood there before."""
    before = {}
    for file, old, new in edits:
        path = os.path.join(root, file)
        with open(path) as f:
            text = f.read()
        before.setdefault(path, text)
        found = len(old.findall(text)) if hasattr(old, 'findall') else text.count(old)
        if found != 1:
            raise SystemExit('%s: %d places like %r; expected one' % (file, found, old))
        with open(path, 'w') as f:
            f.write(old.sub(lambda m: new, text) if hasattr(old, 'sub') else text.replace(old, new))
    return before


def quiet(call):
    done = subprocess.run(call, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit('%s:\n%s' % (' '.join(call), (done.stdout + done.stderr)[-3000:]))


def judge(root):
    """Comparisons, those that failed, runs that ended without a result, and whether all of these were the test's doing."""
    quiet(['cmake', '--build', os.path.join(root, 'build'), '--target', 'deblur_solve', '-j', '2'])
    done = subprocess.run([sys.executable, os.path.join(root, 'tests/deblur/methods.py'), os.path.join(root, 'build/tests/deblur_solve')],
                          capture_output=True, text=True)
    last = re.search(r'(\d+) checks, (\d+) failed, (\d+) runs without a result\n$', done.stdout)
    if not last:
        raise SystemExit('methods.py did not end: %s' % (done.stdout + done.stderr)[-3000:])
    checks, failed, ended = map(int, last.groups())
    return checks, failed, ended, ended == len(re.findall(r'exit 70: <Hx,y> and <x,H\^T y> differ', done.stdout)), done.returncode


def main():
    source, names = os.path.abspath(sys.argv[1]), sys.argv[2:] or list(MUTANTS)
    bad = 0
    with tempfile.TemporaryDirectory(prefix='deconvoy.') as root:
        for part in ('CMakeLists.txt', 'include', 'src', 'tests', 'slurm', 'configs'):
            path = os.path.join(source, part)
            if os.path.isdir(path):
                shutil.copytree(path, os.path.join(root, part), ignore=shutil.ignore_patterns('golden', '__pycache__'))
            elif os.path.exists(path):
                shutil.copy(path, root)
        os.makedirs(os.path.join(root, 'tests/golden'), exist_ok=True)
        quiet(['cmake', '-S', root, '-B', os.path.join(root, 'build'), '-G', 'Ninja'])
        print('| mutant | comparisons | red | runs ended by the test of the adjoint |\n|---|---|---|---|')
        for name in names:
            what, own, edits = MUTANTS[name]
            before = edit(root, edits)
            checks, failed, ended, by_adjoint, code = judge(root)
            for path, text in before.items():
                with open(path, 'w') as f:
                    f.write(text)
            good = by_adjoint and (code == 0 and not failed + ended if not edits else code and (failed or own and ended))
            bad += not good
            print('| %s | %d | %d | %d |%s' % (what, checks, failed, ended, '' if good else ' NOT AS EXPECTED'), flush=True)
    return 1 if bad else 0


sys.exit(main())
