"""What runs in place of an image."""

from __future__ import annotations

import pytest
from pods import container, pod

from netkube.node.images import ImagesError, find_program, parse_images, with_programs

TABLE = """
- match: nginx
  entrypoint: [nginx]
  cmd: [-g, daemon off;]
- match: ["*/shop/*:2*", exact:1.0]
  entrypoint: [python3, -m, shop]
  env: {PRICE: "$(HIGH)", MODE: fast}
  workingDir: /srv/shop
  user: "33:34"
  rootfs: /srv/images/shop
- match: "*"
  cmd: [sleep, inf]
"""


@pytest.mark.parametrize(
    'image, number',
    [
        ('nginx', 0),
        ('nginx:1.29', 0),
        ('docker.io/library/nginx:1.29@sha256:0123', 0),
        ('localhost:5000/nginx', 2),
        ('ghcr.io/shop/front:2.1', 1),
        ('ghcr.io/shop/front:1', 2),
        ('exact:1.0', 1),
        ('exact:1.1', 2),
    ],
)
def test_the_first_pattern_that_matches_counts(image, number):
    programs = parse_images(TABLE)
    assert find_program(programs, image) is programs[number]


def resolved(**said):
    one = pod()
    one['spec']['containers'] = [container(**said)]
    return with_programs(one, parse_images(TABLE))['spec']['containers'][0]


def test_command_and_args_are_as_with_an_image():
    assert (resolved(image='nginx', command=None)['command'], resolved(image='nginx', command=None)['args']) == (
        ['nginx'], ['-g', 'daemon off;']
    )  # fmt: skip
    with_args = resolved(image='nginx', command=None, args=['-v'])
    assert (with_args['command'], with_args['args']) == (['nginx'], ['-v'])
    with_command = resolved(image='nginx', command=['sh'])
    assert (with_command['command'], 'args' in with_command) == (['sh'], False)


def test_without_an_entrypoint_cmd_or_args_are_the_command():
    for args, command in ((None, ['sleep', 'inf']), (['true'], ['true'])):
        without = resolved(image='x', command=None, args=args)
        assert (without['command'], 'args' in without) == (command, False)


def test_what_the_pod_says_is_stronger_and_an_image_s_words_are_not_expanded():
    own = resolved(image='x/shop/y:2', command=None, env=[{'name': 'MODE', 'value': 'slow'}])
    assert own['workingDir'] == '/srv/shop'
    assert own['env'] == [
        {'name': 'PRICE', 'value': '$$(HIGH)'}, {'name': 'MODE', 'value': 'fast'}, {'name': 'MODE', 'value': 'slow'}
    ]  # fmt: skip
    assert own['securityContext'] == {'runAsUser': 33, 'runAsGroup': 34}
    assert resolved(image='x/shop/y:2', securityContext={'runAsUser': 1})['securityContext'] == {'runAsUser': 1}
    assert resolved(image='x/shop/y:2', workingDir='/tmp')['workingDir'] == '/tmp'


def test_without_an_entry_the_pod_is_as_it_was():
    one = pod()
    assert with_programs(one, parse_images('- match: other')) is one


@pytest.mark.parametrize(
    'text, why',
    [
        ('- entrypoint: [x]', 'Object missing required field `match` - at `$[0]`'),
        ('- match: x\n  comand: [x]', 'Object contains unknown field `comand` - at `$[0]`'),
        ('- match: x\n  cmd: sleep', 'Expected `array`, got `str` - at `$[0].cmd`'),
        ('- match: x\n  user: no-such-user', 'entry 0: there is no user "no-such-user" on this machine'),
        ('- match: x\n  rootfs: images', 'entry 0: rootfs "images" is not an absolute path'),
        ('- match: ""', 'entry 0: match is empty'),
        ('a: [', 'while parsing a flow node'),
    ],
)
def test_a_table_that_is_none(text, why):
    with pytest.raises(ImagesError) as error:
        parse_images(text)
    assert why in str(error.value)
