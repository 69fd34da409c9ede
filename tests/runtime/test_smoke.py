async def test_a(pods):
    print(await pods.sh('echo hello; id; ps ax; hostname; ls -la /dev; cat /proc/self/mountinfo /proc/self/status; ls /sys/fs/cgroup; ip a'))
async def test_b(pods):
    print(await pods.run('foo'))
    st=await pods.start('sleep','100')
    print(st)
    print(await pods.client.exec_sync(st.id,['sh','-c','echo hi; echo no >&2; ps ax; exit 3']))
    print(await pods.client.exec_sync(st.id,['nonono']))
    s=await pods.client.exec(st.id,['sh','-c','tty; stty size; sleep 0.2; stty size; ls -la /dev/pts'],stdin=True,tty=True)
    await s.resize(132,43)
    while (x:=await s.read()) is not None: print(x)
    print(await s.exit_code()); await s.close()
    await pods.client.stop_container(st.id, 0.1)
    print(await pods.exit_of(st.id))
